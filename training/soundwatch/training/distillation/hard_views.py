"""Hard views: a run draws views more often if an earlier network of equal data gives them false scores.

Conventions: a view's error is its highest score of a class whose target is 0; unknown targets (NaN) do not count. Its
weight is 1 + weight * min(1, error / score), with the numbers of the recipe's `hard_views`. An epoch draws views
without replacement: the largest sums of log weight and Gumbel noise are such a draw.
Source: Gumbel-top-k, Kool et al. 2019, "Stochastic Beams and Where to Find Them".
Does not: train the earlier network, which is a run of its own.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.distillation.teacher_targets import TeacherTargets
from soundwatch.training.model.checkpoint import DataPlan, FinishedRun, open_finished
from soundwatch.training.model.hard_views_recipe import HardViews
from soundwatch.training.model.losses import activate
from soundwatch.training.model.recipe import Recipe

BATCH_VIEWS: Final = 64


def open_earlier_network(folder: Path | None, recipe: Recipe, plan: DataPlan) -> FinishedRun | None:
    """Open the run whose network weighs the views of a run; None if the recipe draws all views alike.

    Args:
        folder: Folder of the earlier run.
        recipe: Recipe of the run.
        plan: Data of the run.

    Raises:
        ConfigError: The folder is missing or not needed, or its run is unfinished, or has other data or features.
        ModelError: The folder has no checkpoint that can be read.
    """
    if recipe.hard_views is None:
        if folder is not None:
            raise ConfigError(f"--hard-from, and recipe {recipe.name} has no hard_views section; leave it out.")
        return None
    if folder is None:
        raise ConfigError(
            f"Recipe {recipe.name} draws views by the errors of an earlier network. Train the recipe that it is like "
            "on equal data first, and give that run's folder with --hard-from."
        )
    earlier = open_finished(folder)
    before = earlier.recipe
    _refuse_other_data(earlier.plan, plan, folder)
    if (before.features, before.activation) != (recipe.features, recipe.activation):
        raise ConfigError(
            f"--hard-from {folder} is a run of recipe {before.name}, whose front end or activation differs from that "
            f"of {recipe.name}; give a run of the recipe that {recipe.name} is like."
        )
    return earlier


def _refuse_other_data(found: DataPlan, plan: DataPlan, folder: Path) -> None:
    """Refuse an earlier run on other data; its errors on clips that it has not learned from are of another kind."""
    known = sorted({*found.train_folds} & {*plan.test_folds})
    if known:
        raise ConfigError(
            f"--hard-from {folder} has learned from fold {', '.join(map(str, known))}, on which this run is tested; "
            "give a run that holds out the same folds."
        )
    names = [name for name in plan.__struct_fields__ if name not in ("hard_from", "averaged")]
    other = [name for name in names if getattr(found, name) != getattr(plan, name)]
    if other:
        raise ConfigError(
            f"--hard-from {folder} is a run on other data than this one ({', '.join(other)} differ); give a run with "
            "equal --data, folds, --negatives and --sounds."
        )


def weigh_views(
    earlier: FinishedRun, views: TeacherTargets, recipe: Recipe, device: torch.device
) -> NDArray[np.float32]:
    """Compute the weights of N views (N,)."""
    assert recipe.hard_views is not None
    scores = _score_views(earlier.network, views, recipe, device)
    return weights_of(np.where(views.targets == 0, scores, 0).max(axis=1), recipe.hard_views)


def weights_of(errors: NDArray[np.float32], numbers: HardViews) -> NDArray[np.float32]:
    """Compute the weights of views (N,) from their errors (N,)."""
    weights: NDArray[np.float32] = 1 + numbers.weight * np.minimum(1, errors / numbers.score)
    return weights


def draw_views(weights: NDArray[np.float32], count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Draw distinct views in random order, with chances in proportion to their weights."""
    chosen = np.argsort(-(np.log(weights) + rng.gumbel(size=len(weights))))[:count]
    return rng.permutation(chosen)


@torch.no_grad()
def _score_views(
    network: nn.Module, views: TeacherTargets, recipe: Recipe, device: torch.device
) -> NDArray[np.float32]:
    """Compute the scores (N, K) of N views, in the precision of training."""
    network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    scores = []
    for start in range(0, len(views.targets), BATCH_VIEWS):
        mel_db = torch.from_numpy(views.mel_db[start : start + BATCH_VIEWS, None].astype(np.float32)).to(device)
        mel_db = mel_db.expand(-1, recipe.features.channels, -1, -1).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=recipe.trains_in_bfloat16(device.type)):
            logits = network(mel_db).float()
        scores.append(activate(logits, recipe.activation).cpu().numpy())
    return np.concatenate(scores)
