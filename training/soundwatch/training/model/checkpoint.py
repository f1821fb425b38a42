"""Checkpoint of a training run: one self-describing file from which the run resumes bit-identically.

Conventions: a dict that `torch.load(weights_only=True)` reads: strings of JSON for the contract, the
recipe and the plan, and state dicts. The file is written under another name and renamed, so an interrupted write
leaves the previous file. The final weights are `ema` where there is a running mean, else `model`.
Does not: train (`fit/epochs/loop.py`), or write files that the daemon reads (the export package does).
"""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import msgspec
import torch
from torch import Tensor, nn

from soundwatch.daemon.core.errors import ConfigError, ContractError, ModelError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.contract import ModelContract, decode_contract, encode_contract
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.network import MeanMaxPool, build_network
from soundwatch.training.model.recipe import Recipe, decode_recipe

SCHEMA: Final = "soundwatch.checkpoint/1"
FILE_NAME: Final = "checkpoint.pt"


class AveragedRun(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Run whose final weights are part of a mean.

    Attributes:
        seed: Random seed of the run.
        weights_sha256: Hash of its final weights.
        hard_from: As in its `DataPlan`.
    """

    seed: int
    weights_sha256: str
    hard_from: str | None = None


class DataPlan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """Training and test data of a run, as far as they must not change on resume.

    Attributes:
        train_folds: UrbanSound8K folds of the training set.
        test_folds: UrbanSound8K folds of the test set.
        leaky_split: True for a random split of the clips.
        clips_sha256: Hash of the names of all training and test clips and negatives.
        labels: The classes.
        origin: Identity of the pretrained model; None for random initial weights.
        hard_from: Hash of the weights of the earlier network that weighs the views; None if views are drawn alike.
        averaged: Runs whose final weights were averaged; empty for a trained network.
    """

    train_folds: tuple[int, ...]
    test_folds: tuple[int, ...]
    leaky_split: bool
    clips_sha256: str
    labels: tuple[str, ...] = LABELS
    origin: str | None = None
    hard_from: str | None = None
    averaged: tuple[AveragedRun, ...] = ()


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """State of a run after an epoch.

    Attributes:
        contract: Contract of the final weights, as JSON.
        recipe: Recipe, as JSON.
        plan: Data plan, as JSON.
        model: State of the network under training.
        ema: State of the running mean of the weights; None if the recipe has none, and for a mean of several runs.
        optimiser: State of the optimizer.
        scheduler: State of the learning rate schedule.
        epoch: Number of finished epochs.
        history: One row of figures per epoch.
        hint: State of the layer that predicts the teacher's features; None without a teacher.
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
    """Write the file atomically.

    Raises:
        OSError: The file cannot be written; torch itself would report a full disk as a position in the file.
    """
    fields = {name: getattr(checkpoint, name) for name in Checkpoint.__slots__}
    content = io.BytesIO()
    torch.save({"schema": SCHEMA, **fields}, content)
    replace_bytes(path, content.getvalue())


def read_checkpoint(path: Path) -> Checkpoint:
    """Read what `save_checkpoint` wrote, onto the CPU.

    Raises:
        ModelError: The file does not exist, is not a checkpoint of soundwatch, or is one of another version.
    """
    wanted = "a checkpoint that `soundwatch train` wrote was expected"
    if not path.is_file():
        raise ModelError(f"{path} is not a file; {wanted}." if path.exists() else f"No file {path}; {wanted}.")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch does not compare the checksums
    except Exception as error:  # zipfile raises many exceptions on a damaged file
        raise ModelError(f"{path} does not read as a checkpoint ({type(error).__name__}); {wanted}.") from error
    if damaged:
        raise ModelError(f"{path} is damaged: its part {damaged} has another checksum. Copy it again, or train again.")
    try:
        values: dict[str, Any] = dict(torch.load(path, map_location="cpu", weights_only=True))
        schema = values.pop("schema")
    except Exception as error:  # torch's unpickler raises any exception on a damaged file
        raise ModelError(f"{path} does not read as a checkpoint ({type(error).__name__}); {wanted}.") from error
    try:
        if schema != SCHEMA:
            raise TypeError(f"its schema is {schema!r}, not {SCHEMA!r}")
        checkpoint = Checkpoint(**values)
        _check_types(checkpoint)
        decode_recipe(checkpoint.recipe)
        decode_plan(checkpoint.plan)
    except (TypeError, msgspec.MsgspecError, ConfigError, ContractError) as error:
        raise ModelError(
            f"{path} does not read as a checkpoint of this version of soundwatch: {error}. Use the version that wrote "
            "it, or train it again."
        ) from error
    return checkpoint


def decode_plan(text: str) -> DataPlan:
    """Read the data plan of a checkpoint."""
    return msgspec.json.decode(text, type=DataPlan)


def replace_contract(path: Path, contract: ModelContract) -> None:
    """Write the checkpoint with another contract and unchanged weights.

    Raises:
        ModelError: The file is not a checkpoint.
    """
    save_checkpoint(path, replace(read_checkpoint(path), contract=encode_contract(contract)))


def _check_types(checkpoint: Checkpoint) -> None:
    """Raise `TypeError` if a value has another type than `save_checkpoint` writes."""
    wanted = {
        "contract": str,
        "recipe": str,
        "plan": str,
        "model": dict,
        "ema": dict | None,
        "optimiser": dict,
        "scheduler": dict,
        "epoch": int,
        "history": list,
        "hint": dict | None,
    }
    wrong = [name for name, kind in wanted.items() if not isinstance(getattr(checkpoint, name), kind)]
    if wrong:
        raise TypeError(f"{', '.join(wrong)} has another type")
    states = (checkpoint.model, checkpoint.ema or {}, checkpoint.hint or {})
    weights = [item for state in states for item in state.items()]
    if not all(isinstance(name, str) and isinstance(value, Tensor) for name, value in weights):
        raise TypeError("a weight has another type")
    rows = msgspec.convert(checkpoint.history, list[dict[str, float | None]])
    complete = all({"epoch", "seconds"} <= row.keys() for row in rows)
    if not complete or checkpoint.epoch < 0 or len(rows) not in (0, checkpoint.epoch):
        raise TypeError(f"its history has not one row for each of its {checkpoint.epoch} epochs")


def load_network(path: Path) -> tuple[nn.Sequential, ModelContract]:
    """Load the network of a checkpoint in eval mode, with the final weights, and its contract.

    Raises:
        ModelError: The file is not a checkpoint, or the hash of its weights differs from that in its contract.
    """
    checkpoint = read_checkpoint(path)
    contract = decode_contract(checkpoint.contract, str(path))
    recipe = decode_recipe(checkpoint.recipe)
    state = checkpoint.model if checkpoint.ema is None else checkpoint.ema
    with torch.device("meta"):  # takes no memory, since the sizes of a recipe have no limit
        wanted = build_network(recipe, len(contract.labels)).state_dict()
    if {name: value.shape for name, value in state.items()} != {name: value.shape for name, value in wanted.items()}:
        raise ModelError(f"The weights in {path} do not fit its recipe. Train it again.")
    network = build_network(recipe, len(contract.labels))
    network.load_state_dict(state)
    if hash_network(network) != contract.weights_sha256:
        raise ModelError(f"The weights in {path} are not those that its contract names; train it again.")
    return network.eval(), contract


@dataclass(frozen=True, slots=True)
class FinishedRun:
    """Result of a finished run.

    Attributes:
        folder: Folder of the run.
        recipe: Recipe of the run.
        plan: Data of the run.
        network: Network in eval mode, with the final weights.
        contract: Contract of the network.
        auxiliary: State of the layers that only training uses, the tag layer among them; None without a teacher.
    """

    folder: Path
    recipe: Recipe
    plan: DataPlan
    network: nn.Sequential
    contract: ModelContract
    auxiliary: dict[str, Tensor] | None


def open_finished(folder: Path) -> FinishedRun:
    """Open the checkpoint of a finished run.

    Raises:
        ConfigError: Epochs are left to train.
        ModelError: The folder has no checkpoint that can be read.
    """
    if folder.is_file():
        raise ModelError(f"{folder} is a file; give the folder of the run, {folder.parent}.")
    path = folder / FILE_NAME
    state = read_checkpoint(path)
    network, contract = load_network(path)
    recipe = decode_recipe(state.recipe)
    if state.epoch < recipe.epochs:
        raise ConfigError(
            f"{folder} ended after epoch {state.epoch} of {recipe.epochs}; finish that run with --resume."
        )
    return FinishedRun(folder, recipe, decode_plan(state.plan), network, contract, state.hint)


def hash_network(network: nn.Module) -> str:
    """Compute the hash of a network's weights, and of its recent frames if it scores them apart."""
    digest = hash_weights(network.state_dict())
    recent = sum(layer.recent_frames for layer in network.modules() if isinstance(layer, MeanMaxPool))
    return hashlib.sha256(f"{digest} recent_frames {recent}".encode()).hexdigest() if recent else digest


def hash_weights(state: Mapping[str, Tensor]) -> str:
    """Compute SHA-256 over the names and bytes of all tensors, sorted by name."""
    digest = hashlib.sha256()
    for name in sorted(state):
        digest.update(name.encode())
        digest.update(state[name].detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def refuse_other_run(checkpoint: Checkpoint, recipe: Recipe, plan: DataPlan, path: Path) -> None:
    """Refuse to resume a checkpoint of another run.

    Raises:
        ConfigError: The recipe or the data differ, or the checkpoint is a mean of several runs.
    """
    before = decode_plan(checkpoint.plan)
    if before.averaged:
        raise ConfigError(f"{path} is the mean of several runs, which cannot be resumed; choose another --out.")
    found = decode_recipe(checkpoint.recipe)
    if found.sha256 != recipe.sha256:
        names = [name for name in recipe.__struct_fields__ if getattr(found, name) != getattr(recipe, name)]
        raise ConfigError(
            f"{path} was made by recipe {found.name} ({found.sha256[:12]}), which differs from this run's "
            f"{recipe.name} in {', '.join(names)}; resume with the recipe, --seed and --epochs it was started with, "
            "or choose another --out."
        )
    names = [name for name in plan.__struct_fields__ if getattr(before, name) != getattr(plan, name)]
    if names:
        raise ConfigError(
            f"{path} was made from other clips than this run's: {', '.join(names)} differ. Resume with the same "
            "--data, folds, --negatives, --init-from and --hard-from, or choose another --out."
        )
