"""When a recording's samples are due, so that it is heard as a microphone would hear it.

Conventions: a block is due when its last sample would have been recorded. The moment is computed from the
sample's number each time, in whole nanoseconds, so that nothing drifts.
"""

from __future__ import annotations

import contextlib
import threading
import time
from typing import Literal

Pace = Literal["real_time", "fast"]


def due_ns(start_ns: int, end_sample: int, rate_hz: int) -> int:
    """When the block that ends before `end_sample` is complete, on the clock of `start_ns`."""
    return start_ns + end_sample * 1_000_000_000 // rate_hz


class Pacer:
    """Waits for samples to be due, and can be told to stop.

    Args:
        pace: "fast" never waits.
        rate_hz: Of the samples.
    """

    def __init__(self, pace: Pace, rate_hz: int) -> None:
        self._pace = pace
        self._rate_hz = rate_hz
        self._start_ns: int | None = None
        self._stopped = False
        self._latch = threading.Lock()  # held until `stop`: unlike an Event's, its release is safe in a signal handler
        self._latch.acquire()

    def wait_for(self, end_sample: int) -> bool:
        """Wait until the samples before this one are due; the first call starts the clock.

        Returns:
            False once `stop` was called.
        """
        if self._pace == "real_time" and not self._stopped:
            if self._start_ns is None:
                self._start_ns = time.monotonic_ns()
            ahead_ns = due_ns(self._start_ns, end_sample, self._rate_hz) - time.monotonic_ns()
            if ahead_ns > 0:
                self._latch.acquire(timeout=ahead_ns / 1e9)
        return not self._stopped

    def stop(self) -> None:
        """End every wait."""
        self._stopped = True
        with contextlib.suppress(RuntimeError):  # the second time it is open already
            self._latch.release()
