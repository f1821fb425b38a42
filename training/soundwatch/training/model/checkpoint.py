"""A training run on disk: one file that says what it is, and from which the run goes on bit for bit.

Conventions: a dict that `torch.load(weights_only=True)` reads: strings of JSON for the contract, the
recipe and the plan, and states of tensors. It is written under another name and renamed, so that a cut
leaves the one before. The weights that count are `ema` where the recipe keeps a running mean, else `model`.
Does not: train (`fit/loop.py`), or write files that the daemon reads (the export room does).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import Tensor, nn

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.contract import ModelContract, decode_contract
from soundwatch.daemon.core.errors import ConfigError, ModelError
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.network import build_network
from soundwatch.training.model.recipe import Recipe, decode_recipe

SCHEMA: Final = "soundwatch.checkpoint/1"
FILE_NAME: Final = "checkpoint.pt"


class DataPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What a run learns from and is scored on, as far as it must not change when it goes on.

    Attributes:
        train_folds: UrbanSound8K folds learned from.
        test_folds: UrbanSound8K folds scored.
        leaky_split: True where the clips were dealt out at random.
        clips_sha256: Hash of the names of all clips and negatives on either side.
        labels: The classes.
        origin: Identity of the model whose weights it started from; None where they were drawn.
    """

    train_folds: tuple[int, ...]
    test_folds: tuple[int, ...]
    leaky_split: bool
    clips_sha256: str
    labels: tuple[str, ...] = LABELS
    origin: str | None = None


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """All that a run is after an epoch.

    Attributes:
        contract: Of the weights that count.
        recipe: The experiment.
        plan: Its data.
        model: State of the network as the optimiser moves it.
        ema: State of the running mean; None where the recipe keeps none.
        optimiser: State of the optimiser.
        scheduler: State of the learning rate's schedule.
        epoch: Epochs done.
        history: A row of figures for each of them.
        hint: State of the layer that tells the teacher's features; None without a teacher.
    """

    contract: str
    recipe: str
    plan: str
    model: dict[str, Tensor]
    ema: dict[str, Tensor] | None
    optimiser: dict[str, Any]
    scheduler: dict[str, Any]
    epoch: int
    history: list[dict[str, float | None]]
    hint: dict[str, Tensor] | None = None


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Write the file in one step: it is the old one until it is the new one."""
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    replace_file(path, lambda part: torch.save({"schema": SCHEMA, **fields}, part))


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises:
        ModelError: There is no such file, or it is not a checkpoint of soundwatch.
    """
    wanted = "a checkpoint that `soundwatch train` wrote was wanted"
    if not path.is_file():
        raise ModelError(f"No file {path}; {wanted}.")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        if values.pop("schema") != SCHEMA:
            raise KeyError(SCHEMA)
        checkpoint = Checkpoint(**values)
        _check_types(checkpoint)
        return checkpoint
    except Exception as error:  # torch's unpickler fails in whichever way a damaged file leads it
        raise ModelError(f"{path} does not read as a checkpoint ({type(error).__name__}); {wanted}.") from error


def _check_types(checkpoint: Checkpoint) -> None:
    """Raise `TypeError` where a value that is used is of another type than was saved."""
    texts, states = (checkpoint.contract, checkpoint.recipe, checkpoint.plan), (checkpoint.model, checkpoint.ema or {})
    tensors = [value for state in states for value in state.values()]
    if not all(isinstance(text, str) for text in texts) or not all(isinstance(each, Tensor) for each in tensors):
        raise TypeError("a value has another type")


def load_network(path: Path) -> tuple[nn.Sequential, ModelContract]:
    """The network of a checkpoint in eval mode, with the weights that count, and its contract.

    Raises:
        ModelError: It is not a checkpoint, or its weights are not those that its contract names.
    """
    checkpoint = read_checkpoint(path)
    contract = decode_contract(checkpoint.contract, str(path))
    try:
        network = build_network(decode_recipe(checkpoint.recipe), len(contract.labels))
        network.load_state_dict(checkpoint.model if checkpoint.ema is None else checkpoint.ema)
    except (msgspec.MsgspecError, ConfigError, RuntimeError) as error:
        raise ModelError(f"The weights in {path} do not fit its recipe: {error}. Train it again.") from error
    if hash_weights(network.state_dict()) != contract.weights_sha256:
        raise ModelError(f"The weights in {path} are not those that its contract names; train it again.")
    return network.eval(), contract


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """SHA-256 over the names and bytes of all tensors, in the order of their names."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def refuse_other_run(checkpoint: Checkpoint, recipe: Recipe, plan: DataPlan, path: Path) -> None:
    """Compare a checkpoint with the run that wants to go on from it.

    Raises:
        ConfigError: The recipe or the data is another.
    """
    found = decode_recipe(checkpoint.recipe)
    if found.sha256 != recipe.sha256:
        names = [name for name in recipe.__struct_fields__ if getattr(found, name) != getattr(recipe, name)]
        raise ConfigError(
            f"{path} was made by recipe {found.name} ({found.sha256[:12]}), which differs from this run's "
            f"{recipe.name} in {', '.join(names)}; resume with the recipe, --seed and --epochs it was started with, "
            "or choose another --out."
        )
    if checkpoint.plan != msgspec.json.encode(plan).decode():
        raise ConfigError(
            f"{path} was made from other clips: {checkpoint.plan}. Resume with the same --data, folds, --negatives and "
            "--init-from, or choose another --out."
        )
