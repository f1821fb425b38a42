"""Choice of the other sounds that a fitted head learns from.

Conventions: the recordings belong to one network. A recipe with a fitted head refuses any other.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS, load_classifier_file, resolve_model
from soundwatch.training.data.datasets.other_sounds import OtherSounds, named_alike, read_other_sounds
from soundwatch.training.model.network_recipe import SeparableCnn
from soundwatch.training.model.pretrained import PretrainedModel
from soundwatch.training.model.recipe import Recipe


def has_other_sounds(model: str) -> bool:
    """Return True for a shipped model with other sounds of its network."""
    if model not in SHIPPED_MODELS:
        return False
    return read_other_sounds(load_classifier_file(resolve_model(model), "cpu").contract.weights_sha256) is not None


def choose_other_sounds(
    recipe: Recipe, origin: PretrainedModel | None, labels: Sequence[str], leave_out: Sequence[str], console: Console
) -> tuple[Recipe, OtherSounds | None]:
    """Return the recipe of the run, and the other sounds that its head is fitted on; None for a trained head.

    A fitted head has features of whole windows alone, so its network pools no recent frames.

    Raises:
        ConfigError: No other sounds ship with the network, or a kind to leave out is none of theirs.
    """
    if recipe.finetune is None or recipe.finetune.head != "fitted":
        if leave_out:
            raise ConfigError(
                f"--leave-out, and recipe {recipe.name} does not learn from the other sounds that ship with a model; "
                "leave it out, or use --recipe own-sounds."
            )
        return recipe, None
    found = read_other_sounds(origin.contract.weights_sha256) if origin else None
    if origin is None or found is None:
        raise ConfigError(
            f"Recipe {recipe.name} fits a head on the other sounds that ship with a model, and none ship with this "
            "one; use --init-from urban, or --recipe finetune."
        )
    named = named_alike(found.kinds, labels)
    if named:
        console.print(f"Left out of the other sounds, by their names: {', '.join(named)}", highlight=False)
    others = found.without({*leave_out, *named})
    if isinstance(recipe.network, SeparableCnn):
        recipe = msgspec.structs.replace(recipe, network=msgspec.structs.replace(recipe.network, recent_frames=0))
    return recipe, others
