"""The clocks: one that tells the time, one that follows the sound, and one that no one can set.

Conventions: nanoseconds. The steady clock goes on evenly whatever is done to the wall clock, also while the machine
sleeps where the system tells (Linux, macOS), and is the same in all processes.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

TOGETHER_NS: Final = 1_000_000
TRIES: Final = 3
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WallClock:
    """Live: a line is written now."""

    def written_unix_ns(self, heard_unix_ns: int) -> int:
        """UTC in nanoseconds, now."""
        del heard_unix_ns
        return time.time_ns()


class SampleClock:
    """Replay: a line is written the moment its sound was complete, so that two runs are alike."""

    def written_unix_ns(self, heard_unix_ns: int) -> int:
        """The same moment."""
        return heard_unix_ns


def monotonic_ns() -> int:
    """The steady clock."""
    if hasattr(time, "CLOCK_BOOTTIME"):  # Linux, whose monotonic clock stands still while the machine sleeps
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class ClockReading:
    """One moment by both clocks.

    Attributes:
        steady_ns: By the steady clock.
        unix_ns: By the wall clock.
    """

    steady_ns: int
    unix_ns: int

    @property
    def ahead_ns(self) -> int:
        """What the wall clock is ahead of the steady one: the same for good, unless it is set."""
        return self.unix_ns - self.steady_ns


def read_clocks(steady: Callable[[], int] = monotonic_ns, unix: Callable[[], int] | None = None) -> ClockReading:
    """Now; read again where something came in between, since that would look like a clock that was set."""
    for _ in range(TRIES):
        before_ns = steady()
        moment = ClockReading(before_ns, (unix or time.time_ns)())
        if steady() - before_ns < TOGETHER_NS:
            break
    return moment


def format_utc(unix_ns: int) -> str:
    """Format nanoseconds since 1970 as RFC 3339 in UTC, rounded down to milliseconds: `2026-11-22T08:15:02.418Z`."""
    return format_datetime(_UNIX_EPOCH + timedelta(milliseconds=unix_ns // 1_000_000))


def format_datetime(
    moment: datetime, timespec: Literal["seconds", "milliseconds", "microseconds"] = "milliseconds"
) -> str:
    """Format a time with a zone as RFC 3339 in UTC.

    Raises:
        OverflowError: The time lies beyond the years 1 to 9999 in UTC.
    """
    return moment.astimezone(UTC).isoformat(timespec=timespec).replace("+00:00", "Z")
