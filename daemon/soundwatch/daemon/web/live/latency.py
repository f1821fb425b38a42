"""Histograms of the time from a window's last sample to its decision.

Conventions: nanoseconds in, seconds out. `observe` is called once per window in the engine's thread and is cheap.
"""

from __future__ import annotations

import bisect
import threading
from dataclasses import dataclass, field
from typing import Final

from soundwatch.daemon.core.records.scores import WindowResult

BOUNDS_S: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Histogram:
    """Latencies of one source.

    Attributes:
        counts: Count of each bucket; the last bucket has no upper bound.
        sum_s: Sum of all latencies.
    """

    counts: list[int] = field(default_factory=lambda: [0] * (len(BOUNDS_S) + 1))
    sum_s: float = 0.0

    @property
    def cumulative(self) -> list[tuple[str, float]]:
        """Cumulative counts by upper bound, as Prometheus expects them."""
        total, buckets = 0, []
        for bound, count in zip([*map(str, BOUNDS_S), "+Inf"], self.counts, strict=True):
            total += count
            buckets.append((bound, float(total)))
        return buckets


class LatencyHistograms:
    """Latencies of all sources."""

    def __init__(self) -> None:
        self._histograms: dict[str, Histogram] = {}
        self._lock = threading.Lock()

    def observe(self, window: WindowResult) -> None:
        """Count one window."""
        delay_s = window.delay_ns / 1e9
        with self._lock:
            histogram = self._histograms.setdefault(window.source, Histogram())
            histogram.counts[bisect.bisect_left(BOUNDS_S, delay_s)] += 1
            histogram.sum_s += delay_s

    def all(self) -> dict[str, Histogram]:
        """Copy the histograms, by source."""
        with self._lock:
            return {
                source: Histogram(list(histogram.counts), histogram.sum_s)
                for source, histogram in self._histograms.items()
            }
