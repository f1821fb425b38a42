"""Clocks: wall clock, sample clock and monotonic clock; and times as text.

Conventions: nanoseconds. The monotonic clock is not affected by setting the wall clock, counts suspended time on Linux
and macOS, and is the same in all processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

DAY_S: Final = 86_400
SECOND_NS: Final = 1_000_000_000
EARLIEST_NS: Final = 1_767_225_600 * SECOND_NS  # 2026: a machine without a battery clock may start long before
TOGETHER_NS: Final = 1_000_000
TRIES: Final = 3
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


class Clock(Protocol):
    """Clock that stamps lines: the wall clock live, the sample clock in a replay."""

    def written_unix_ns(self, complete_unix_ns: int) -> int:
        """Return UTC in nanoseconds of a line about sound that was complete at `complete_unix_ns`."""


class WallClock:
    """Clock of live lines: a line is written now."""

    def written_unix_ns(self, complete_unix_ns: int) -> int:
        """Return the current UTC in nanoseconds."""
        del complete_unix_ns
        return time.time_ns()


class SampleClock:
    """Clock of replayed lines: a line is written when its sound was complete, so that two runs give equal lines."""

    def written_unix_ns(self, complete_unix_ns: int) -> int:
        """Return `complete_unix_ns`."""
        return complete_unix_ns


def monotonic_ns() -> int:
    """Return the monotonic clock in nanoseconds, suspended time included."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux: CLOCK_MONOTONIC stops while the machine is suspended
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One moment by both clocks.

    Attributes:
        steady_ns: Monotonic clock.
        unix_ns: Wall clock.
    """

    steady_ns: int
    unix_ns: int

    @property
    def ahead_ns(self) -> int:
        """Offset of the wall clock from the monotonic clock, constant unless the wall clock is set."""
        return self.unix_ns - self.steady_ns


def read_clocks(steady: Callable[[], int] = monotonic_ns, unix: Callable[[], int] | None = None) -> ClockReading:
    """Read both clocks; read them again after an interruption, which would look like a clock that was set."""
    for _ in range(TRIES):
        before_ns = steady()
        moment = ClockReading(before_ns, (unix or time.time_ns)())
        if steady() - before_ns < TOGETHER_NS:
            break
    return moment


def read_awake_clocks() -> ClockReading:
    """Read the wall clock with a monotonic clock that a suspend stops: a suspend then looks as a clock set forward."""
    return read_clocks(time.monotonic_ns)


def is_clock_set(unix_ns: int) -> bool:
    """Return False for a time that a wall clock shows only before it is set, such as 1970."""
    return unix_ns >= EARLIEST_NS


def format_utc(unix_ns: int) -> str:
    """Format nanoseconds since 1970 as RFC 3339 in UTC, rounded down to milliseconds: `2026-11-22T08:15:02.418Z`."""
    return format_datetime(_UNIX_EPOCH + timedelta(milliseconds=unix_ns // 1_000_000))


def parse_utc(text: str) -> int:
    """Parse a time in RFC 3339, as `format_utc` writes it; return nanoseconds since 1970.

    Raises:
        ValueError: The text is no time, or has no zone.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(f"{text} has no zone")
    return (moment - _UNIX_EPOCH) // _MICROSECOND * 1000


def format_datetime(
    moment: datetime, timespec: Literal["seconds", "milliseconds", "microseconds"] = "milliseconds"
) -> str:
    """Format a time with a zone as RFC 3339 in UTC.

    Raises:
        OverflowError: The time lies beyond the years 1 to 9999 in UTC.
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
