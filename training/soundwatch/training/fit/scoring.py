"""What a network says of held-out clips: loss, scores, metrics, and the records that are kept of them.

Conventions: scores are (N, K) in [0, 1]; a clip of none of the classes has no label. `run.json` in a
run's folder holds the `RunRecord`, so that later runs and reports can quote it.
Does not: choose thresholds (`fit/thresholds.py`), or score exported models (`evaluation/clips.py`).
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

from soundwatch.daemon.core.contract import EvaluationScore
from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.batches import Scored
from soundwatch.training.fit.metrics import Metrics
from soundwatch.training.model.checkpoint import DataPlan
from soundwatch.training.model.losses import activate, compute_loss
from soundwatch.training.model.recipe import Recipe

FILE_NAME: Final = "run.json"


class ScoredClip(msgspec.Struct, frozen=True, kw_only=True):
    """One held-out clip and its scores.

    Attributes:
        clip: File name.
        class_id: Place of its class among the labels; None where it is none of them.
        values: (K,) scores.
    """

    clip: str
    class_id: int | None
    values: tuple[float, ...]


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """What a run was computed on.

    Attributes:
        processor: The CPU's model.
        cores: That this machine has.
        threads: That torch used.
        device: cpu, or the accelerator's name.
    """

    processor: str
    cores: int
    threads: int
    device: str


class RunRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A finished run.

    Attributes:
        recipe: Name.
        recipe_sha256: Hash of its every value.
        plan: The data.
        negatives: Number of recordings of none of the classes learned from.
        epochs: Done.
        seed: Of every random draw.
        parameters: Number of trained numbers.
        clips: Number of clips learned from.
        seconds: Spent on the epochs, scoring included.
        machine: That spent them.
        torch: Its version.
        scores: Of the held-out folds; empty where there were none.
        held_out: Every held-out clip and negative.
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


def read_run(folder: Path) -> RunRecord:
    """The record of a finished run.

    Raises:
        DataError: There is none, or it does not read.
    """
    file = folder / FILE_NAME
    try:
        return msgspec.json.decode(file.read_bytes(), type=RunRecord)
    except (OSError, msgspec.MsgspecError) as error:
        raise DataError(
            f"No finished run in {folder}: {error}. The --out folder of a completed run was wanted."
        ) from error


@torch.no_grad()
def score_mels(
    network: nn.Module, batches: Sequence[Scored], recipe: Recipe, device: torch.device
) -> tuple[float, NDArray[np.float32]]:
    """Mean loss of all windows, and scores (N, K) of N clips as their windows' mean, in eval mode.

    Args:
        network: To score with.
        batches: Mel decibels, targets, and the place of each window's clip among the N.
        recipe: For its activation.
        device: That computes.
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
    """Metrics as the contract carries them."""
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
