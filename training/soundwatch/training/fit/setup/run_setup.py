"""Inputs of a training run, before any computation.

Conventions: test clips are never in the training set.
Does not: train (`fit/runs/run.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec
import torch

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.printable import printable
from soundwatch.training.data.datasets.other_sounds import OtherSounds
from soundwatch.training.data.datasets.urbansound8k import Clip, Split
from soundwatch.training.distillation.street_sounds import NO_EVERYDAY_SOUNDS, EverydaySounds
from soundwatch.training.distillation.teacher import Teacher
from soundwatch.training.fit.scores.scoring import RunRecord
from soundwatch.training.fit.setup.distributed import SINGLE_PROCESS, DistributedContext
from soundwatch.training.fit.setup.placement import DEFAULT_LOADING, Loading
from soundwatch.training.model.checkpoint import DataPlan, FinishedRun
from soundwatch.training.model.pretrained import PretrainedModel
from soundwatch.training.model.recipe import Recipe

DEVICES: Final = ("auto", "cpu", "cuda", "mps")


@dataclass(frozen=True, slots=True)
class RunSetup:
    """Inputs of a run.

    Attributes:
        recipe: Recipe of the run.
        split: Labeled training and test clips.
        negatives: Training recordings of none of the classes.
        held_out_negatives: Test recordings of none of the classes.
        sources: Finished runs of the recipe, whose scores go into the contract.
        out: Output folder.
        device: Device of the computation.
        origin: Pretrained weights; None for random weights.
        teacher: Teacher of distillation; None if the recipe has none.
        ranks: Process group of the run.
        everyday: Everyday sounds for training, if the recipe has street mixes.
        loading: How examples reach the device.
        other_sounds: Shipped other sounds for a fitted head; None for a trained one.
        earlier: Run whose network weighs the views; None if the recipe draws them alike.
        name: Name of the model; None for that of the recipe or of the folder.
        resumed_by: What continues the run after it was stopped, for people.
    """

    recipe: Recipe
    split: Split
    negatives: tuple[Clip, ...]
    held_out_negatives: tuple[Clip, ...]
    sources: tuple[RunRecord, ...]
    out: Path
    device: torch.device
    origin: PretrainedModel | None = None
    teacher: Teacher | None = None
    ranks: DistributedContext = SINGLE_PROCESS
    everyday: EverydaySounds = NO_EVERYDAY_SOUNDS
    loading: Loading = DEFAULT_LOADING
    other_sounds: OtherSounds | None = None
    earlier: FinishedRun | None = None
    name: str | None = None
    resumed_by: str = "the same command with --resume"

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the K classes."""
        return self.split.labels

    @property
    def train_clips(self) -> tuple[Clip, ...]:
        """All training clips."""
        return (*self.split.train, *self.negatives, *(sound.clip for sound in self.everyday.sounds))

    @property
    def inits_from_teacher(self) -> bool:
        """True if the network is initialized from its teacher's first layers."""
        return self.recipe.teaching is not None and self.recipe.teaching.start == "teacher"

    @property
    def plan(self) -> DataPlan:
        """Data plan for the checkpoint."""
        sides = [[clip.name for clip in side] for side in (self.train_clips, self.split.test)]
        sides += [list(self.other_sounds.kinds)] if self.other_sounds else []
        digest = hashlib.sha256(msgspec.json.encode(sides)).hexdigest()
        return DataPlan(
            train_folds=self.split.train_folds,
            test_folds=self.split.test_folds,
            leaky_split=self.split.leaky,
            clips_sha256=digest,
            labels=self.labels,
            origin=None if self.origin is None else self.origin.contract.identity,
            hard_from=None if self.earlier is None else self.earlier.contract.weights_sha256,
        )


def pick_device(name: str) -> torch.device:
    """Return the device of `--device`: auto is CUDA if torch finds it.

    Raises:
        ConfigError: The named accelerator is not available.
    """
    found = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return torch.device("cuda" if found["cuda"] else "cpu")
    if not found[name]:
        remedy = "install its driver" if name == "cuda" else "run on a Mac with Apple silicon and macOS 14 or later"
        raise ConfigError(f"--device {name}, and torch finds no {name.upper()} device; use --device cpu, or {remedy}.")
    return torch.device(name)


def describe_scored(split: Split) -> str:
    """Describe the test data."""
    if split.folder:
        return f"{len(split.test)} held-out files of {split.folder}"
    words = describe_folds(split.test_folds, split)
    return f"the other {len(split.test)} clips of {words}" if split.leaky else words


def describe_folds(folds: tuple[int, ...], split: Split) -> str:
    """Describe folds, with their missing clips."""
    names = ", ".join(
        f"{fold} ({split.missing[fold]} clips missing)" if fold in split.missing else str(fold) for fold in folds
    )
    return f"UrbanSound8K fold{'s' if len(folds) > 1 else ''} {names}"


def describe_data(session: RunSetup) -> str:
    """Describe the training data."""
    split = session.split
    words = (
        f"{len(split.train)} files of {printable(split.folder)}"
        if split.folder
        else describe_folds(split.train_folds, split)
    )
    if split.leaky:
        words = f"random {len(split.train)} clips of {words}"
    others = len(session.negatives) + len(session.everyday.sounds)
    others += len(session.other_sounds.sounds) if session.other_sounds else 0
    if others:
        words += f" and {others} other sounds"
    if session.origin:
        before = session.origin.contract
        words += f", starting from {before.identity} ({before.provenance.data})"
    if session.recipe.teaching:
        words += ", with YAMNet (AudioSet) as teacher"
    return words


def describe_hard_views(weights_sha256: str | None) -> str:
    """Describe the network that weighs the views by its weights; empty if views are drawn alike."""
    return f", hard views by weights {weights_sha256[:12]}" if weights_sha256 else ""
