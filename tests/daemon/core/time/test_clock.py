"""Two clocks that are read together, and times as text."""

from __future__ import annotations

import time

import pytest

from soundwatch.daemon.core.time.clock import TRIES, ClockReading, format_utc, monotonic_ns, parse_utc, read_clocks


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


@pytest.mark.parametrize("unix_ns", [0, 1_800_000_000_418_000_000, -1_000_000])
def test_a_formatted_time_is_parsed_to_its_millisecond(unix_ns: int) -> None:
    assert parse_utc(format_utc(unix_ns)) == unix_ns


def test_a_time_with_an_offset_is_parsed_and_one_without_a_zone_is_refused() -> None:
    assert parse_utc("1970-01-01T02:00:00.000001+02:00") == 1000
    with pytest.raises(ValueError, match="2026-11-22T08:15:02 has no zone"):
        parse_utc("2026-11-22T08:15:02")
