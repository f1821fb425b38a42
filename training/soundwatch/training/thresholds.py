"""The score from which a window counts as evidence, chosen for each class on held-out scores.

Rule: per class, the smallest threshold of 0.30, 0.35 ... 0.95 at which at most 1 % of the held-out
clips of other classes and of none fire; 0.95 where even that lets more through.
Conventions: the scores come from cross-validation runs of the same recipe, whose held-out clips are
among the recordings that the shipping model is trained on: no reported fold takes part.
Does not: move with the sound; confirmation and hysteresis are the daemon's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from soundwatch.training.scoring import ScoredClip

DEFAULT: Final = 0.5
GRID: Final = tuple(round(0.30 + 0.05 * step, 2) for step in range(14))
FALSE_SHARE: Final = 0.01


def default_thresholds(labels: Sequence[str]) -> dict[str, float]:
    """Without held-out scores to choose on: 0.5 for each class."""
    return dict.fromkeys(labels, DEFAULT)


def choose_thresholds(held_out: Sequence[ScoredClip], labels: Sequence[str]) -> dict[str, float]:
    """A threshold for each class by the rule above."""
    values = np.array([clip.values for clip in held_out])  # (N, K)
    thresholds = {}
    for class_id, label in enumerate(labels):
        others = values[[clip.class_id != class_id for clip in held_out], class_id]
        quiet = [threshold for threshold in GRID if np.sum(others >= threshold) <= FALSE_SHARE * len(others)]
        thresholds[label] = min(quiet, default=GRID[-1])
    return thresholds
