"""Thresholds of a fitted head, and its open-set share, from scores of heads that left the recordings out.

Conventions: every class may be raised by as many other sounds as any other. A threshold lies halfway between two scores
of other sounds. The open-set share is measured twice: thresholds of one half of the groups on the other half.
Does not: fit heads (`fit/head_fit.py`).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.fit.head_fit import LeftOut

RAISED_SHARE: Final = 0.04  # of other sounds; kinds that are not there raise more, and 5 % are the goal
LOWEST: Final = 0.05
HIGHEST: Final = 0.99

Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class FittedThresholds:
    """Result of the choice.

    Attributes:
        values: Threshold of each class.
        found: Number of class clips that raise an event of their class, by heads that left them out.
        clips: Number of class clips.
        raised: Number of other recordings that raise an event, by heads and thresholds that left them out.
        recordings: Number of other recordings.
    """

    values: tuple[float, ...]
    found: int
    clips: int
    raised: int
    recordings: int


def choose_fitted(left_out: LeftOut, classes: int) -> FittedThresholds:
    """Choose thresholds on all other sounds, and count what they raise on sounds that they were not chosen on."""
    rows = left_out.of_others()
    values = _thresholds(left_out.scores[rows])
    halves = np.array([_half(left_out.examples[row].group or "") for row in rows], np.int64)
    raised = 0
    for half in (0, 1):
        chosen = _thresholds(left_out.scores[rows[halves != half]])
        raised += int((left_out.scores[rows[halves == half]] >= chosen).any(axis=1).sum())
    found = sum(int((left_out.scores[left_out.of_class(k), k] >= values[k]).sum()) for k in range(classes))
    clips = sum(len(left_out.of_class(k)) for k in range(classes))
    return FittedThresholds(tuple(float(value) for value in values), found, clips, raised, len(rows))


def _thresholds(scores: Scores) -> NDArray[np.float64]:
    """Return the lowest thresholds (K,) of equal counts by which at most `RAISED_SHARE` of rows (N, K) are raised."""
    falling = np.sort(scores, axis=0)[::-1]
    chosen = np.full(scores.shape[1], HIGHEST)
    for count in range(len(scores) - 1):
        above = falling[count - 1] if count else np.ones(scores.shape[1])
        values = np.round((above + falling[count]) / 2, 4)
        if (scores >= values).any(axis=1).mean() > RAISED_SHARE:
            break
        chosen = values
    return np.asarray(np.clip(chosen, LOWEST, HIGHEST), np.float64)


def _half(group: str) -> int:
    return hashlib.sha256(f"half {group}".encode()).digest()[0] % 2
