"""Robustness evaluation: accuracy on clips before and after degradations.

Conventions: a clip's scores are those of `soundwatch classify` through the daemon's own stages; points
are hundredths of a share. Changes are compared clip by clip, so their standard error depends on the clips whose
prediction changed: sqrt(lost + gained) / clips.
Does not: degrade clips (`evaluation/recordings/conditions.py`), or detect events.
"""

from __future__ import annotations

import math

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.pipeline.scoring import score_source
from soundwatch.training.data.audio.read_audio import read_recording
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, check_labels
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.evaluation.detection.offline_detection import MemorySource
from soundwatch.training.evaluation.recordings.conditions import CONDITIONS, LIMITED, Condition, Group


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """Result of one condition.

    Attributes:
        name: Name of the condition.
        group: Kind of the condition.
        limited: True if the project limits its cost to two points.
        accuracy: Share of correctly classified clips.
        change_points: Accuracy minus that of the clean clips, in points.
        error_points: Standard error of the change.
        lost: Number of clips that are correct only without the condition.
        gained: Number of clips that are correct only with the condition.
        passing_share: Share of clips whose class reaches its threshold.
    """

    name: str
    group: Group
    limited: bool
    accuracy: float
    change_points: float
    error_points: float
    lost: int
    gained: int
    passing_share: float


class RobustnessReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of a robustness evaluation.

    Attributes:
        model: Name and hash of the model.
        provider: Execution provider.
        folder: Name of the data set; None for UrbanSound8K.
        folds: UrbanSound8K folds of the clips.
        trained_on_these: Folds that the model was trained on: their figures measure memory.
        seed: Random seed.
        clips: Number of clips per condition.
        accuracy: Accuracy on the clean clips.
        passing_share: Share of clean clips whose class reaches its threshold.
        changes: Results per condition.
    """

    model: str
    provider: str
    folder: str | None
    folds: tuple[int, ...]
    trained_on_these: tuple[int, ...]
    seed: int
    clips: int
    accuracy: float
    passing_share: float
    changes: tuple[Change, ...]


def evaluate_robustness(classifier: Classifier, data: LabeledClips, seed: int, console: Console) -> RobustnessReport:
    """Score every clip clean and under every condition.

    Raises:
        ContractError: The model lacks one of the labels.
        DataError: A clip cannot be read.
    """
    contract, clips = classifier.contract, data.clips
    check_labels(contract, data)
    right = np.zeros((1 + len(CONDITIONS), len(clips)), bool)
    passing = np.zeros_like(right)
    for place, clip in enumerate(track(clips, "Clips under every condition", console=console)):
        label = data.label_of(clip)
        rng = np.random.default_rng([seed, place])
        scores = _scores(classifier, clip, rng)  # (1 + conditions, K)
        right[:, place] = scores.argmax(axis=1) == contract.labels.index(label)
        passing[:, place] = scores[:, contract.labels.index(label)] >= contract.thresholds[label]
    return RobustnessReport(
        model=contract.identity,
        provider=classifier.provider,
        folder=data.folder,
        folds=data.folds,
        trained_on_these=data.learned_folds(contract),
        seed=seed,
        clips=len(clips),
        accuracy=round(float(right[0].mean()), 4),
        passing_share=round(float(passing[0].mean()), 4),
        changes=tuple(
            compare(condition, right[0], after, float(passes.mean()))
            for condition, after, passes in zip(CONDITIONS, right[1:], passing[1:], strict=True)
        ),
    )


def _scores(classifier: Classifier, clip: Clip, rng: np.random.Generator) -> NDArray[np.float64]:
    """Compute scores (1 + conditions, K) of one clip, clean first, in the order of the model's labels."""
    samples, rate_hz = read_recording(clip.path)
    sounds = [
        MemorySource(samples, rate_hz),
        *(MemorySource(*condition.change(samples, rate_hz, rng)) for condition in CONDITIONS),
    ]
    scores = [score_source(sound, classifier) for sound in sounds]
    return np.array([[score[label] for label in classifier.contract.labels] for score in scores])


def compare(condition: Condition, before: NDArray[np.bool_], after: NDArray[np.bool_], passing_share: float) -> Change:
    """Compare the correctly classified clips (N,) before and after a condition."""
    lost, gained = int(np.sum(before & ~after)), int(np.sum(~before & after))
    return Change(
        name=condition.name,
        group=condition.group,
        limited=condition.group in LIMITED,
        accuracy=round(float(after.mean()), 4),
        change_points=round(100 * (gained - lost) / before.size, 2),
        error_points=round(100 * math.sqrt(gained + lost) / before.size, 2),
        lost=lost,
        gained=gained,
        passing_share=round(passing_share, 4),
    )
