"""The time of a stream's next sample, from its samples and their arrivals."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from soundwatch.daemon.capture.demo.scene import Demo
from soundwatch.daemon.capture.monitoring.stream_position import StreamPosition
from soundwatch.daemon.core.records.block import Block

SECOND_NS = 1_000_000_000
RATE_HZ = 8000
SIZE = RATE_HZ // 10


def position_after(deviations_ns: Iterable[int]) -> int:
    """Return how far a stream's end is from its samples, after blocks of 100 ms that arrive with these deviations."""
    samples, position, end_ns = np.zeros((1, SIZE), np.float32), None, 0
    for number, deviation_ns in enumerate(deviations_ns):
        block = Block(samples, RATE_HZ, number * SIZE)
        end_ns = (number + 1) * SECOND_NS // 10
        if position is None:
            position = StreamPosition.begun(Demo("demo"), block, 0, end_ns)
        position = position.after(block, end_ns + deviation_ns)
    assert position is not None
    return position.end_ns - end_ns


def test_a_late_last_delivery_does_not_hide_the_sound_that_is_lost_before_it() -> None:
    assert position_after([0] * 40 + [700_000_000]) == 0


def test_deliveries_that_are_late_for_some_seconds_do_not_move_the_end() -> None:
    assert position_after([0] * 100 + [500_000_000] * 150) == 0


def test_a_deviation_that_lasts_for_two_windows_is_the_drift_of_the_clock() -> None:
    assert position_after([0] * 100 + [500_000_000] * 350) == 500_000_000


def test_sound_that_comes_ahead_of_its_time_moves_the_end_at_once() -> None:
    assert position_after([0] + [-5 * SECOND_NS] * 20) == -5 * SECOND_NS
