"""Thresholds of a fitted head, and its open-set share, from scores of heads that left the recordings out.

Rule: thresholds fall from the highest, each time for the class and by the step that find most of its left-out clips for
each other sound that they raise, until no step stays within the share of other sounds that may be raised. A threshold
lies halfway between two scores of other sounds. The share found is smoothed, since a class has a few dozen clips.
The open-set share is measured twice: thresholds of one half of the groups on the other half.
Does not: fit heads (`fit/head/head_fit.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.fit.head.head_fit import LeftOut
from soundwatch.training.fit.scores.thresholds import is_in_first_half

RAISED_SHARE: Final = 0.03  # of other sounds; other recordings and kinds raise more, and 5 % are the goal
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
        unmeasured: Classes without a clip that a head left out; `found` says nothing of them.
    """

    values: tuple[float, ...]
    found: int
    clips: int
    raised: int
    recordings: int
    unmeasured: tuple[int, ...]


def choose_fitted(left_out: LeftOut, classes: int) -> FittedThresholds:
    """Choose thresholds on all other sounds, and count what they raise on sounds that they were not chosen on."""
    rows = left_out.of_others()
    own = [left_out.scores[left_out.of_class(class_id), class_id] for class_id in range(classes)]
    values = _thresholds(left_out.scores[rows], own)
    first = np.array([is_in_first_half(left_out.examples[row].group or "") for row in rows], np.bool_)
    raised = 0
    for half in (~first, first):
        chosen = _thresholds(left_out.scores[rows[~half]], own)
        raised += int((left_out.scores[rows[half]] >= chosen).any(axis=1).sum())
    found = sum(int((scores >= values[k]).sum()) for k, scores in enumerate(own))
    clips = sum(len(scores) for scores in own)
    unmeasured = tuple(k for k, scores in enumerate(own) if not len(scores))
    return FittedThresholds(tuple(float(value) for value in values), found, clips, raised, len(rows), unmeasured)


def _thresholds(scores: Scores, own: Sequence[Scores]) -> NDArray[np.float64]:
    """Return thresholds (K,) by which at most `RAISED_SHARE` of other sounds (N, K) are raised, by the rule above."""
    allowed, classes = int(RAISED_SHARE * len(scores)), scores.shape[1]
    falling = np.sort(scores, axis=0)[::-1][: allowed + 2]
    above = np.vstack([np.ones(classes), falling[:-1]])
    grid = np.clip(np.round((above + falling) / 2, 4), LOWEST, HIGHEST).astype(np.float64)  # (T, K)
    found = np.stack([_smoothed_found(own[k], grid[:, k]) for k in range(classes)], axis=1)
    places = np.array([min(allowed // classes, len(grid) - 1) if not len(own[k]) else 0 for k in range(classes)])
    while True:
        best, step = 0.0, (0, 0)
        for k in range(classes):
            raised = _raised_at(scores, grid, places, k)
            steps = np.flatnonzero((np.arange(len(grid)) > places[k]) & (raised <= allowed))
            gains = (found[steps, k] - found[places[k], k]) / np.maximum(raised[steps] - raised[places[k]], 0.5)
            if len(gains) and gains.max() > best:
                best, step = float(gains.max()), (k, int(steps[gains.argmax()]))
        if best <= 0:
            return np.asarray(grid[places, np.arange(classes)], np.float64)
        places[step[0]] = step[1]


def _raised_at(
    scores: Scores, grid: NDArray[np.float64], places: NDArray[np.int64], class_id: int
) -> NDArray[np.int64]:
    """Count other sounds (T,) that any class raises, at each threshold of one class and the present ones of others."""
    hit = scores >= grid[places, np.arange(grid.shape[1])]
    hit[:, class_id] = False
    free = np.sort(scores[~hit.any(axis=1), class_id])
    return np.asarray(len(scores) - np.searchsorted(free, grid[:, class_id]), np.int64)


def _smoothed_found(own: Scores, grid: NDArray[np.float64]) -> NDArray[np.float64]:
    """Compute the share (T,) of own clips found at each threshold, with scores spread as the clips vary."""
    if not len(own):
        return np.zeros(len(grid))
    places = _log_odds(own.astype(np.float64))
    width = 0.6 * (places.std() * len(own) ** -0.2 + 0.1)  # a logistic curve of this width has Scott's deviation
    distances = (places[None, :] - _log_odds(grid)[:, None]) / width
    return np.asarray(np.mean(1 / (1 + np.exp(-np.clip(distances, -30, 30))), axis=1), np.float64)


def _log_odds(values: NDArray[np.float64]) -> NDArray[np.float64]:
    bounded = np.clip(values, 1e-6, 1 - 1e-6)
    return np.asarray(np.log(bounded / (1 - bounded)), np.float64)
