"""Selection of a threshold for each class on held-out scores.

Rule: per class, the smallest threshold of 0.20, 0.25 ... 0.95 at which at most 0.5 % of the held-out clips
of other classes reach it, and at most 0.5 % of the held-out negatives come within 0.1 of it; 0.95
if no threshold fulfills this. The shares of the classes add up: ten classes of 0.5 % raise at most the
accepted 5 % of recordings. The margin is for sounds that the held-out negatives do not contain.
Conventions: the scores come from cross-validation runs of the same recipe, whose held-out clips are
in the training set of the shipped model: no reported fold takes part. A run without them takes its own held-out
clips. Accuracy, F1 and recall are of the highest class, so no threshold takes part in them.
Does not: adapt to the sound; confirmation and hysteresis are the daemon's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.fit.scores.scoring import RunRecord, ScoredClip

DEFAULT: Final = 0.5
GRID: Final = tuple(round(0.20 + 0.05 * step, 2) for step in range(16))
FALSE_SHARE: Final = 0.005
MARGIN: Final = 0.1  # below the threshold, for negatives


def default_thresholds(labels: Sequence[str]) -> dict[str, float]:
    """Return 0.5 for each class, for use without held-out scores."""
    return dict.fromkeys(labels, DEFAULT)


def choose_thresholds(held_out: Sequence[ScoredClip], labels: Sequence[str]) -> dict[str, float]:
    """Select a threshold for each class by the rule above."""
    values = np.array([clip.values for clip in held_out])  # (N, K)
    classes = [clip.class_id for clip in held_out]
    negatives = values[[label is None for label in classes]]
    thresholds = {}
    for class_id, label in enumerate(labels):
        others = values[[label not in (class_id, None) for label in classes]]
        quiet = [
            threshold
            for threshold in GRID
            if np.sum(others[:, class_id] >= threshold) <= FALSE_SHARE * len(others)
            and np.sum(negatives[:, class_id] >= threshold - MARGIN) <= FALSE_SHARE * len(negatives)
        ]
        thresholds[label] = min(quiet, default=GRID[-1])
    return thresholds


def threshold_evidence(
    held_out: Sequence[ScoredClip], sources: Sequence[RunRecord], negatives: Sequence[Clip]
) -> list[ScoredClip]:
    """Return the scored clips that thresholds are chosen on: those of the sources, else the run's own.

    Args:
        held_out: Held-out clips and negatives of the run.
        sources: Finished runs of the recipe.
        negatives: Held-out negatives, the second half of which measures the open set.
    """
    measured = {clip.name for clip in halve(negatives)[1]}
    scored = [clip for source in sources for clip in source.held_out] or held_out
    return [clip for clip in scored if clip.class_id is not None or clip.clip not in measured]


def halve(negatives: Sequence[Clip]) -> tuple[list[Clip], list[Clip]]:
    """Divide held-out negatives by recording into those to choose thresholds on and those to measure the open set."""
    first = [clip for clip in negatives if is_in_first_half(clip.recording)]
    return first, [clip for clip in negatives if not is_in_first_half(clip.recording)]


def is_in_first_half(name: str) -> bool:
    """Return True for one half of all names, by their hashes."""
    return hashlib.sha256(f"half {name}".encode()).digest()[0] % 2 == 1
