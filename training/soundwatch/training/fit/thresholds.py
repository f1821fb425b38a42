"""The score from which a window counts as evidence, chosen for each class on held-out scores.

Rule: per class, the smallest threshold of 0.20, 0.25 ... 0.95 at which at most 0.5 % of the held-out clips
of other classes fire, and at most 0.5 % of the held-out recordings of none come within 0.1 of it; 0.95
where even that lets more through. The classes' shares add up: ten classes of 0.5 % raise at most the 5 % of
recordings that are tolerable. The margin is for all the sounds of the world that are not among these few.
Conventions: the scores come from cross-validation runs of the same recipe, whose held-out clips are
among the recordings that the shipping model is trained on: no reported fold takes part.
Does not: move with the sound; confirmation and hysteresis are the daemon's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from soundwatch.training.fit.scoring import ScoredClip

DEFAULT: Final = 0.5
GRID: Final = tuple(round(0.20 + 0.05 * step, 2) for step in range(16))
FALSE_SHARE: Final = 0.005
MARGIN: Final = 0.1  # from recordings of none


def default_thresholds(labels: Sequence[str]) -> dict[str, float]:
    """Without held-out scores to choose on: 0.5 for each class."""
    return dict.fromkeys(labels, DEFAULT)


def choose_thresholds(held_out: Sequence[ScoredClip], labels: Sequence[str]) -> dict[str, float]:
    """A threshold for each class by the rule above."""
    values = np.array([clip.values for clip in held_out])  # (N, K)
    classes = [clip.class_id for clip in held_out]
    negatives = values[[each is None for each in classes]]
    thresholds = {}
    for class_id, label in enumerate(labels):
        others = values[[each not in (class_id, None) for each in classes]]
        quiet = [
            threshold
            for threshold in GRID
            if np.sum(others[:, class_id] >= threshold) <= FALSE_SHARE * len(others)
            and np.sum(negatives[:, class_id] >= threshold - MARGIN) <= FALSE_SHARE * len(negatives)
        ]
        thresholds[label] = min(quiet, default=GRID[-1])
    return thresholds
