"""The two clocks: one that tells the time, one that follows the sound."""

from __future__ import annotations

import time


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
