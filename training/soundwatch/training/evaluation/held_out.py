"""Networks with the UrbanSound8K clips that they have not learned from.

Conventions: a network is a model file or a checkpoint. The folds that it holds back are those of the data that its
contract does not name. Targets are the clips that the metadata calls the foreground of their recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.types import Classifier
from soundwatch.daemon.inference.classifier import activate, load_classifier_file
from soundwatch.training.data.labelled_clips import LabelledClips, labelled_clips
from soundwatch.training.data.urbansound8k import split_by_folds
from soundwatch.training.evaluation.busy_street import Target
from soundwatch.training.evaluation.street import foreground_clips
from soundwatch.training.model.checkpoint import load_network


@dataclass(frozen=True, slots=True)
class HeldOut:
    """A network and what it is judged on.

    Attributes:
        classifier: The network.
        targets: Clips of these folds.
        folds: Of UrbanSound8K.
        learned: Those of them that the network has learned from.
    """

    classifier: Classifier
    targets: tuple[Target, ...]
    folds: tuple[int, ...]
    learned: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class CheckpointClassifier:
    """The network of a checkpoint, run by torch; satisfies `types.Classifier`."""

    network: nn.Module
    contract: ModelContract
    provider: str = "torch"

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Scores (N, K) of mel decibels (N, C, M, T)."""
        with torch.inference_mode():
            logits: NDArray[np.float32] = self.network(torch.from_numpy(mel_db)).numpy()
        return activate(logits, self.contract.activation)


def open_network(path: str | Path) -> Classifier:
    """A checkpoint (`.pt` of `soundwatch train`, or its folder), a model file, or a shipped model's name.

    Raises:
        ModelError: There is no such file, or it does not read.
    """
    checkpoint = Path(path) / "checkpoint.pt" if Path(path).is_dir() else Path(path)
    if checkpoint.name.endswith("checkpoint.pt"):
        return CheckpointClassifier(*load_network(checkpoint))
    return load_classifier_file(path, "cpu")


def hold_out(classifier: Classifier, root: Path, folds: Sequence[int] | None) -> HeldOut:
    """Pair a network with the clips of these folds, or of all that it has not learned from.

    Raises:
        DataError: It has learned from all folds that are there, and none is named.
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
    return held_out_of(classifier, foreground_clips(root, labelled_clips(split_by_folds(root, chosen, ()))))


def held_out_of(classifier: Classifier, data: LabelledClips) -> HeldOut:
    """Pair a network with clips."""
    targets = tuple(Target(clip.path, data.label_of(clip), clip.recording) for clip in data.clips)
    learned = set(classifier.contract.provenance.folds) & set(data.folds)
    return HeldOut(classifier, targets, data.folds, tuple(sorted(learned)))
