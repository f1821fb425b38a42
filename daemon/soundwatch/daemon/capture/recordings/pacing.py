"""Real-time pacing of recordings.

Conventions: a block is due when its last sample would have been recorded. The due time is computed from the
sample's number, in whole nanoseconds, so that no error accumulates.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Literal

Pace = Literal["real_time", "fast"]


def due_ns(start_ns: int, end_sample: int, rate_hz: int) -> int:
    """Return the time at which the block that ends before `end_sample` is complete, on the clock of `start_ns`."""
    return start_ns + end_sample * 1_000_000_000 // rate_hz


class Pause:
    """Waits that `stop` ends, and all later ones."""

    def __init__(self) -> None:
        self.stopped = False
        self._latch = threading.Lock()  # held until `stop`: unlike an Event's, its release is safe in a signal handler
        self._latch.acquire()

    def wait_s(self, seconds: float) -> bool:
        """Wait, unless stopped.

        Returns:
            False after `stop`.
        """
        if seconds > 0 and not self.stopped:
            self._latch.acquire(timeout=seconds)
        return not self.stopped

    def stop(self) -> None:
        """End every wait."""
        self.stopped = True
        with contextlib.suppress(RuntimeError):  # a second call finds the latch released
            self._latch.release()


class Pacer:
    """Waits until samples are due; `stop` interrupts a wait.

    Args:
        pace: "fast" never waits.
        rate_hz: Sampling rate.
        pause: The waits; None for own ones.
    """

    def __init__(self, pace: Pace, rate_hz: int, pause: Pause | None = None) -> None:
        self._pace = pace
        self._rate_hz = rate_hz
        self._start_ns: int | None = None
        self._pause = Pause() if pause is None else pause

    def wait_for(self, end_sample: int) -> bool:
        """Wait until the samples before `end_sample` are due; the first call starts the clock.

        Returns:
            False after `stop`.
        """
        if self._pace != "real_time" or self._pause.stopped:
            return not self._pause.stopped
        if self._start_ns is None:
            self._start_ns = time.monotonic_ns()
        return self._pause.wait_s((due_ns(self._start_ns, end_sample, self._rate_hz) - time.monotonic_ns()) / 1e9)

    def stop(self) -> None:
        """End every wait."""
        self._pause.stop()
