"""Thresholds are chosen by what a false event is worth, for all classes together."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from soundwatch.training.evaluation.streets.event_counts import GRID, SceneCounts
from soundwatch.training.evaluation.thresholds.price import (
    MARGIN,
    Evidence,
    choose_by_price,
    choose_once,
    lowered_places,
)

MINUTES = 60


def evidence(
    found_until: list[float], false_until: list[float], raised: Sequence[tuple[int, int, float]] = (), clips: int = 130
) -> Evidence:
    """Classes found in every minute up to a threshold, false in every minute up to another; clips raised up to one."""
    grid, classes = np.array(GRID), len(found_until)
    there = np.ones((classes, MINUTES), np.int32)
    found = np.repeat(grid[:, None, None] <= np.array(found_until)[None, :, None], MINUTES, axis=2).astype(np.int32)
    false = np.repeat(grid[:, None, None] <= np.array(false_until)[None, :, None], MINUTES, axis=2).astype(np.int32)
    of_clips = np.zeros((len(GRID), classes, clips), np.bool_)
    for class_id, clip, until in raised:
        of_clips[grid <= until, class_id, clip] = True
    nothing = ((),) * classes
    scene = SceneCounts(1.0, there, found, false, (nothing,) * len(GRID), (nothing,) * len(GRID))
    return Evidence((scene,), of_clips, np.arange(clips))


def test_the_highest_threshold_without_a_loss_is_chosen() -> None:
    assert choose_once(evidence([0.6], [0.3]), 0.01) == (0.6,)


def test_a_class_with_too_many_false_events_is_disabled() -> None:
    assert choose_once(evidence([0.5, 0.5], [0.1, 0.9]), 0.02) == (0.5, 1.0)


def test_a_low_price_buys_more_sounds() -> None:
    costly = evidence([0.5, 0.5], [0.1, 0.6])
    assert choose_once(costly, 0.001) == (0.5, 0.5)
    assert choose_once(costly, 0.05) == (0.5, 1.0)


def test_a_clip_counts_once_however_many_classes_it_raises() -> None:
    """No class alone is worth 100 clips, three that raise other clips are not either, three that share them are."""
    price = 0.0075
    shared = [(class_id, clip, 0.5) for class_id in range(3) for clip in range(100)]
    apart = [(class_id, 100 * class_id + clip, 0.5) for class_id in range(3) for clip in range(100)]
    streets = [0.5] * 3, [0.1] * 3
    assert choose_once(evidence(*streets, shared), price) == (0.5, 0.5, 0.5)
    assert choose_once(evidence(*streets, apart, clips=300), 3 * price) == (1.0, 1.0, 1.0)


def test_the_chosen_threshold_is_within_its_interval() -> None:
    chosen = choose_by_price(evidence([0.6, 0.7], [0.3, 0.3]), 0.01, 1)
    assert chosen.thresholds == (0.6, 0.7)
    assert all(
        low <= value <= high for low, value, high in zip(chosen.low, chosen.thresholds, chosen.high, strict=True)
    )


def test_false_events_are_counted_a_margin_below_the_threshold() -> None:
    places = lowered_places(GRID)
    odds = np.log(np.array(GRID[:-1]) / (1 - np.array(GRID[:-1])))
    high = [place for place, value in enumerate(odds) if value - MARGIN > odds[0]]
    assert all(abs(odds[places[place]] - (odds[place] - MARGIN)) < 0.4 for place in high)
    assert places[-1] == len(GRID) - 1
    close = choose_once(evidence([0.95], [0.6]), 0.02)
    assert close[0] > 0.6
    assert choose_once(evidence([0.65], [0.6]), 0.05) == (1.0,)
