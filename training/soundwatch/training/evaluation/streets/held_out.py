"""Networks with their held-out UrbanSound8K clips.

Conventions: a network is a model file or a checkpoint. Its held-out folds are those of the data that its
contract does not name. Targets are clips that the metadata marks as foreground of their recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.inference.classifier import activate, load_classifier_file
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, labeled_clips
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.evaluation.streets.busy_street import Target
from soundwatch.training.evaluation.streets.street import foreground_clips
from soundwatch.training.model.checkpoint import load_network


@dataclass(frozen=True, slots=True)
class HeldOut:
    """Network with its test clips.

    Attributes:
        classifier: Network to evaluate.
        targets: Clips of the folds.
        folds: UrbanSound8K folds.
        learned: Folds among them that the network was trained on.
    """

    classifier: Classifier
    targets: tuple[Target, ...]
    folds: tuple[int, ...]
    learned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckpointClassifier:
    """Classifier that runs the network of a checkpoint in torch."""

    network: nn.Module
    contract: ModelContract
    provider: str = "torch"

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Compute scores (N, K) of mel decibels (N, C, M, T)."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.network(torch.from_numpy(mel_db)).numpy()
        return activate(logits, self.contract.activation)


def open_network(path: str | Path) -> Classifier:
    """Open a checkpoint (`.pt` of `soundwatch train`, or its folder), a model file, or a shipped model by name.

    Raises:
        ModelError: The file does not exist or cannot be read.
    """
    checkpoint = Path(path) / "checkpoint.pt" if Path(path).is_dir() else Path(path)
    if checkpoint.name.endswith("checkpoint.pt"):
        return CheckpointClassifier(*load_network(checkpoint))
    return load_classifier_file(path, "cpu")


def hold_out(classifier: Classifier, root: Path, folds: Sequence[int] | None) -> HeldOut:
    """Pair a network with the clips of these folds, or of all folds outside its training set.

    Raises:
        DataError: The network was trained on all present folds, and none is named.
    """
    learned = set(classifier.contract.provenance.folds)
    present = split_by_folds(root, None, ()).train_folds
    chosen = tuple(folds) if folds else tuple(fold for fold in present if fold not in learned)
    if not chosen:
        raise DataError(
            f"{classifier.contract.identity} has learned from all of the folds {', '.join(map(str, present))} in "
            f"{root}. Give networks of the recipe that hold folds back with --held-out, or name --folds: the shares "
            "found are then those of memorized clips, and only the false events mean something."
        )
    return held_out_of(classifier, foreground_clips(root, labeled_clips(split_by_folds(root, chosen, ()))))


def held_out_of(classifier: Classifier, data: LabeledClips) -> HeldOut:
    """Pair a network with clips."""
    targets = tuple(Target(clip.path, data.label_of(clip), clip.recording) for clip in data.clips)
    return HeldOut(classifier, targets, data.folds, data.learned_folds(classifier.contract))
