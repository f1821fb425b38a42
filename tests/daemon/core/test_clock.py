"""Two clocks that are read together."""

from __future__ import annotations

import time

import pytest

from soundwatch.daemon.core.clock import TRIES, ClockReading, monotonic_ns, read_clocks


def test_a_reading_that_something_came_into_is_made_again() -> None:
    steady = iter([0, 5_000_000_000, 5_000_001_000, 5_000_002_000])
    unix = iter([7_000_000_000, 7_000_001_000])
    assert read_clocks(lambda: next(steady), lambda: next(unix)) == ClockReading(5_000_001_000, 7_000_001_000)


def test_requests_to_a_busy_node_end() -> None:
    readings = iter(range(0, 10**12, 10**9))
    assert read_clocks(lambda: next(readings), lambda: 1).steady_ns == (2 * TRIES - 2) * 10**9


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="this system has no clock that counts sleep")
def test_the_steady_clock_counts_the_time_asleep() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert before <= monotonic_ns() <= time.clock_gettime_ns(time.CLOCK_BOOTTIME)
