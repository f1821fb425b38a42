"""Thresholds for all classes at a price a false event an hour, chosen jointly by a coordinate search.

Rule: the thresholds that give the largest share found, the mean over classes and scenes, less `price` for every false
event an hour. False events are counted at a threshold that lies `MARGIN` lower in log odds: sounds that nobody chose on
score higher than the few that one has. The rate is the mean of the scenes' and of everyday sounds heard one by one,
`CLIPS_PER_H` of which make an hour; a clip counts once however many classes it raises, which is what joins the
classes. A class that is not worth its false events at any threshold gets 1, which mutes it; the report names it.
Intervals: the choice is repeated on resamples of the scenes' minutes and of the clips' recordings; what ships is the
median of these choices, which scatters less than the single best choice, and their 5 and 95 % are its interval.
Does not: look at a scene or a clip that is reported.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.evaluation.event_counts import SceneCounts

GRID: Final = (*(round(0.05 + 0.025 * step, 3) for step in range(37)), 0.97, 0.98, 0.99, 1.0)
MARGIN: Final = 1.0  # docs/decisions/0070 has what others give
CLIPS_PER_H: Final = 130.0
RESAMPLES: Final = 100
_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts at every threshold of a grid.

    Attributes:
        scenes: Streets, each weighing the same.
        raised: (T, K, N) whether a clip raised a class that it does not hold.
        recordings: (N,) a number for the recording of each clip.
        grid: (T,) thresholds, rising; the last one mutes.
    """

    scenes: tuple[SceneCounts, ...]
    raised: NDArray[np.bool_]
    recordings: NDArray[np.int64]
    grid: tuple[float, ...] = GRID


@dataclass(frozen=True, slots=True)
class Chosen:
    """Thresholds, in the order of the labels.

    Attributes:
        thresholds: To be used.
        low: 5 % of the resamples chose less.
        high: 5 % of the resamples chose more.
    """

    thresholds: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Evidence as rates: found (T, K) is a share, false (T, K) an hour, clips (T, K, N) a weight where raised."""

    found: NDArray[np.float64]
    false: NDArray[np.float64]
    raised: NDArray[np.bool_]
    weights: NDArray[np.float64]


def choose_by_price(evidence: Evidence, price: float, seed: int) -> Chosen:
    """Choose a threshold for each class by the rule above."""
    rng = np.random.default_rng(seed)
    choices = np.array([_search(_resampled(evidence, rng), price) for _ in range(RESAMPLES)])  # (R, K) places
    grid = np.array(evidence.grid)
    places = np.round(np.median(choices, axis=0)).astype(int)
    low, high = np.percentile(choices, [5, 95], axis=0, method="nearest").astype(int)
    return Chosen(tuple(grid[places].tolist()), tuple(grid[low].tolist()), tuple(grid[high].tolist()))


def choose_once(evidence: Evidence, price: float) -> tuple[float, ...]:
    """Choose on the evidence as it is, without resampling."""
    return tuple(evidence.grid[place] for place in _search(_rates(evidence, None), price))


def _resampled(evidence: Evidence, rng: np.random.Generator) -> _Rates:
    return _rates(evidence, rng)


def _rates(evidence: Evidence, rng: np.random.Generator | None) -> _Rates:
    lower = lowered_places(evidence.grid)
    found, false = [], []
    for scene in evidence.scenes:
        minutes = scene.there.shape[1]
        weights = (
            np.ones(minutes) if rng is None else np.bincount(rng.integers(minutes, size=minutes), minlength=minutes)
        )
        there = scene.there @ weights  # (K,)
        found.append((scene.found @ weights) / np.maximum(there, 1))
        false.append((scene.false[lower] @ weights) / scene.hours)
    recordings = int(evidence.recordings.max(initial=-1)) + 1
    draws = (
        np.ones(recordings)
        if rng is None or not recordings
        else np.bincount(rng.integers(recordings, size=recordings), minlength=recordings)
    )
    of_clips = draws[evidence.recordings].astype(float)
    of_clips *= CLIPS_PER_H / max(1.0, of_clips.sum())
    return _Rates(np.mean(found, axis=0), np.mean(false, axis=0), evidence.raised[lower], of_clips)


def lowered_places(grid: Sequence[float]) -> list[int]:
    """Per threshold, the place of the one nearest to `MARGIN` below it in log odds; the one that mutes stays."""
    values = np.clip(np.array(grid[:-1]), 1e-4, 1 - 1e-4)
    odds = np.log(values / (1 - values))
    return [*(int(np.argmin(np.abs(odds - (each - MARGIN)))) for each in odds), len(grid) - 1]


def _search(rates: _Rates, price: float) -> list[int]:
    """Places in the grid that no change of a single class makes better, the better of two starts.

    One start mutes every class, the other one lets every class have what is best for it in the streets.
    """
    classes = rates.found.shape[1]
    value = rates.found / classes - price * rates.false / 2  # (T, K): each part of the rate counts half
    starts = ([len(value) - 1] * classes, [_highest_best(value[:, class_id]) for class_id in range(classes)])
    found = [_descend(rates, value, price, start) for start in starts]
    return max(found, key=lambda places: _worth(rates, value, price, places))


def _descend(rates: _Rates, value: NDArray[np.float64], price: float, places: list[int]) -> list[int]:
    """Change one class after another to its best place until none changes."""
    classes = rates.found.shape[1]
    for _ in range(_ROUNDS):
        before = list(places)
        for class_id in range(classes):
            others = np.zeros(rates.raised.shape[2], np.bool_)
            for other in range(classes):
                if other != class_id:
                    others |= rates.raised[places[other], other]
            alone = (rates.raised[:, class_id] & ~others) @ rates.weights  # (T,)
            places[class_id] = _highest_best(value[:, class_id] - price * alone / 2)
        if places == before:
            break
    return places


def _worth(rates: _Rates, value: NDArray[np.float64], price: float, places: list[int]) -> float:
    """Share found less the price of all false events."""
    raised = np.any([rates.raised[place, class_id] for class_id, place in enumerate(places)], axis=0)
    streets = sum(float(value[place, class_id]) for class_id, place in enumerate(places))
    return streets - price * float(raised @ rates.weights) / 2


def _highest_best(gains: NDArray[np.float64]) -> int:
    """The highest threshold among those that gain most."""
    return int(np.flatnonzero(gains >= gains.max() - 1e-12)[-1])
