"""Joint selection of thresholds at a price per false event per hour, by coordinate search.

Rule: the thresholds maximize the share found, averaged over classes and scenes, minus `price` for every false
event per hour. False events are counted at a threshold that is `MARGIN` lower in log odds, since unseen sounds
score higher than the sounds of the selection. The rate is the mean of that in scenes and that of single everyday
sounds, `CLIPS_PER_H` of which count as an hour; a clip counts once for any number of raised classes, which couples
the classes. A class that is not worth its false events at any threshold gets 1, which disables it; the report names it.
Intervals: the selection is repeated on resamples of the scenes' minutes and of the clips' recordings. The result is
the median of these selections, which varies less than a single selection; their 5 and 95 % are its interval.
Does not: use a reported scene or clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.training.evaluation.streets.event_counts import GRID, SceneCounts

MARGIN: Final = 1.0  # docs/decisions/0070 has what others give
CLIPS_PER_H: Final = 130.0
RESAMPLES: Final = 100
_ROUNDS: Final = 10


@dataclass(frozen=True, slots=True)
class Evidence:
    """Counts at every threshold of a grid.

    Attributes:
        scenes: Streets, with equal weights.
        raised: True where a clip raised a wrong class (T, K, N).
        recordings: Index of each clip's recording (N,).
        grid: Thresholds (T,) in rising order; the last one disables a class.
    """

    scenes: tuple[SceneCounts, ...]
    raised: NDArray[np.bool_]
    recordings: NDArray[np.int64]
    grid: tuple[float, ...] = GRID


@dataclass(frozen=True, slots=True)
class Chosen:
    """Selected thresholds, in the order of the labels.

    Attributes:
        thresholds: Median over the resamples.
        low: 5th percentile of the resamples.
        high: 95th percentile of the resamples.
    """

    thresholds: tuple[float, ...]
    low: tuple[float, ...]
    high: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class _Rates:
    """Evidence as rates: share found (T, K), false events per hour (T, K), weights of raised clips (T, K, N)."""

    found: NDArray[np.float64]
    false: NDArray[np.float64]
    raised: NDArray[np.bool_]
    weights: NDArray[np.float64]


def choose_by_price(evidence: Evidence, price: float, seed: int) -> Chosen:
    """Select a threshold for each class by the rule above."""
    rng = np.random.default_rng(seed)
    choices = np.array([_search(_rates(evidence, rng), price) for _ in range(RESAMPLES)])  # (R, K) places
    grid = np.array(evidence.grid)
    places = np.round(np.median(choices, axis=0)).astype(int)
    low, high = np.percentile(choices, [5, 95], axis=0, method="nearest").astype(int)
    return Chosen(tuple(grid[places].tolist()), tuple(grid[low].tolist()), tuple(grid[high].tolist()))


def choose_once(evidence: Evidence, price: float) -> tuple[float, ...]:
    """Select thresholds on the evidence without resampling."""
    return tuple(evidence.grid[place] for place in _search(_rates(evidence, None), price))


def _rates(evidence: Evidence, rng: np.random.Generator | None) -> _Rates:
    """Compute the rates of the evidence, or of a resample of its minutes and recordings by a generator."""
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
    return [*(int(np.argmin(np.abs(odds - (odd - MARGIN)))) for odd in odds), len(grid) - 1]


def _search(rates: _Rates, price: float) -> list[int]:
    """Search for grid indexes that no change of a single class improves, and return the better of two starts.

    One start disables every class, the other one uses the best threshold of each class in the streets.
    """
    classes = rates.found.shape[1]
    value = rates.found / classes - price * rates.false / 2  # (T, K): each part of the rate counts half
    starts = ([len(value) - 1] * classes, [_highest_best(value[:, class_id]) for class_id in range(classes)])
    found = [_descend(rates, value, price, start) for start in starts]
    return max(found, key=lambda places: _worth(rates, value, price, places))


def _descend(rates: _Rates, value: NDArray[np.float64], price: float, places: list[int]) -> list[int]:
    """Move one class after another to its best index until none changes."""
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
    """Compute the share found minus the price of all false events."""
    raised = np.any([rates.raised[place, class_id] for class_id, place in enumerate(places)], axis=0)
    streets = sum(float(value[place, class_id]) for class_id, place in enumerate(places))
    return streets - price * float(raised @ rates.weights) / 2


def _highest_best(gains: NDArray[np.float64]) -> int:
    """Return the highest threshold with the largest gain."""
    return int(np.flatnonzero(gains >= gains.max() - 1e-12)[-1])
