"""How long windows take from their last sample to their decision, counted in buckets.

Conventions: nanoseconds in, seconds out. It is called in the engine's thread, once a window, and does next to nothing.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.core.types import WindowResult

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Histogram:
    """One source's delays.

    Attributes:
        counts: Of each bucket, the last without an upper bound.
        sum_s: Of all of them.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    @property
    def cumulative(self) -> list[tuple[str, float]]:
        """As Prometheus has it: how many up to each bound."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class LatencyHistograms:
    """All sources' delays."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self._lock = threading.Lock()

    def take(self, reading: WindowResult) -> None:
        """Count one window."""
        delay_s = reading.delay_ns / 1e9
        with self._lock:
            histogram = self._histograms.setdefault(reading.source, Histogram())
            histogram.counts[bisect.bisect_left(BOUNDS_S, delay_s)] += 1
            histogram.sum_s += delay_s

    def all(self) -> dict[str, Histogram]:
        """How they stand, by source."""
        with self._lock:
            return {name: Histogram(list(each.counts), each.sum_s) for name, each in self._histograms.items()}
