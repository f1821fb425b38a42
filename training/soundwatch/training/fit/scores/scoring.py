"""Scores of held-out clips: loss, scores, metrics, and their records.

Conventions: scores are (N, K) in [0, 1]; a negative has no label. `run.json` in a
run's folder holds the `RunRecord` for later runs and reports.
Does not: choose thresholds (`fit/scores/thresholds.py`), or score exported models (`evaluation/clips.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.model.contract import EvaluationScore
from soundwatch.training.data.windows.batches import Scored
from soundwatch.training.fit.scores.metrics import Metrics
from soundwatch.training.model.checkpoint import DataPlan
from soundwatch.training.model.losses import activate, compute_loss
from soundwatch.training.model.recipe import Recipe

FILE_NAME: Final = "run.json"


class ScoredClip(msgspec.Struct, frozen=True, kw_only=True):
    """Scores of one held-out clip.

    Attributes:
        clip: File name.
        class_id: Index of its class in the labels; None for a negative.
        values: Scores (K,).
    """

    clip: str
    class_id: int | None
    values: tuple[float, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Machine of a run.

    Attributes:
        processor: CPU model.
        cores: Number of CPU cores.
        threads: Number of torch's threads.
        device: cpu, or the accelerator's name.
    """

    processor: str
    cores: int
    threads: int
    device: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Record of a finished run.

    Attributes:
        recipe: Name of the recipe.
        recipe_sha256: Hash of the recipe.
        plan: Training and test data.
        negatives: Number of training recordings of none of the classes.
        epochs: Number of finished epochs.
        seed: Random seed.
        parameters: Number of trained parameters.
        clips: Number of training clips.
        seconds: Time of the epochs, including scoring.
        machine: Machine of the run.
        torch: Version of torch.
        scores: Scores on the held-out folds; empty if there are none.
        held_out: Scores of all held-out clips and negatives.
        train_accuracy: Accuracy on the training examples of the last epoch, augmented unless the head was fitted;
            None in older records.
    """

    recipe: str
    recipe_sha256: str
    plan: DataPlan
    negatives: int
    epochs: int
    seed: int
    parameters: int
    clips: int
    seconds: float
    machine: Machine
    torch: str
    scores: tuple[EvaluationScore, ...]
    held_out: tuple[ScoredClip, ...]
    train_accuracy: float | None = None


def read_run(folder: Path) -> RunRecord:
    """Read the record of a finished run.

    Raises:
        DataError: The record does not exist or cannot be read.
    """
    file = folder / FILE_NAME
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunRecord)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(
            f"No finished run in {folder}: {error}. The --out folder of a completed run was expected."
        ) from error


@torch.no_grad()
def score_mels(
    network: nn.Module, batches: Sequence[Scored], recipe: Recipe, device: torch.device
) -> tuple[float, NDArray[np.float32]]:
    """Compute the mean loss of all windows, and scores (N, K) of N clips as the mean over their windows, in eval mode.

    Args:
        network: Network to score with.
        batches: Mel decibels, targets, and the index of each window's clip.
        recipe: Recipe, for its activation.
        device: Device of the computation.
    """
    network.eval()
    losses, scores = [], []
    for mel_db, targets, _ in batches:
        logits = network(mel_db.to(device)).float().cpu()
        losses.append(float(compute_loss(logits, targets, recipe.activation, 0.0)) * len(targets))
        scores.append(activate(logits, recipe.activation).numpy())
    stacked, places = np.concatenate(scores), np.concatenate([batch[2] for batch in batches])
    sums = np.zeros((places[-1] + 1, stacked.shape[1]), np.float32)
    np.add.at(sums, places, stacked)
    means: NDArray[np.float32] = np.divide(sums, np.bincount(places)[:, None], dtype=np.float32)
    return sum(losses) / len(stacked), means


def to_score(metrics: Metrics, labels: Sequence[str], trained_on: str, tested_on: str) -> EvaluationScore:
    """Convert metrics to the contract's record."""
    return EvaluationScore(
        trained_on=trained_on,
        tested_on=tested_on,
        clips=int(metrics.confusion.sum()),
        accuracy=round(metrics.accuracy, 4),
        macro_f1=round(metrics.macro_f1, 4),
        recall={
            label: None if value is None else round(value, 4)
            for label, value in zip(labels, metrics.recall, strict=True)
        },
    )
