"""What is heard right now, window by window, for those who look: a page, a terminal, a metric.

Conventions: a reading is kept until the source's next one and then gone; nothing here is written or sent by itself.
What a window looked like is kept only while somebody watches for it.
Does not: tell events (`journal.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.source import SourceStats
from soundwatch.daemon.core.types import Features


@dataclass(frozen=True, slots=True)
class WindowResult:
    """One window of one source.

    Attributes:
        source: Its name.
        end_unix_ns: UTC of the window's last sample.
        labels: The K classes.
        values: (K,) their scores.
        level_dbfs: Root mean square of its samples; None for digital silence.
        delay_ns: From when its last sample came until it was decided on.
        windows: How many of this source have been classified.
        heard_s: Length of the stream so far, without what was lost.
        lost_s: How much was lost.
        features: What the network saw; None where nobody watches for pictures.
    """

    source: str
    end_unix_ns: int
    labels: tuple[str, ...]
    values: NDArray[np.float32]
    level_dbfs: float | None
    delay_ns: int
    windows: int
    heard_s: float
    lost_s: float
    features: Features | None = None


class LiveFeed:
    """The latest reading of each source, how each is, and who is called with each new reading."""

    def __init__(self) -> None:
        self.latest: dict[str, WindowResult] = {}
        self.truths: dict[str, SourceStats] = {}
        self._watchers: list[Callable[[WindowResult], None]] = []
        self._pictured = 0

    @property
    def pictured(self) -> bool:
        """Whether readings are to have their features."""
        return self._pictured > 0

    def watch(self, watcher: Callable[[WindowResult], None], *, pictures: bool = False) -> Callable[[], None]:
        """Have `watcher` called with each reading, in the engine's thread; it must not wait.

        Returns:
            What ends that.
        """
        self._watchers = [*self._watchers, watcher]
        self._pictured += pictures

        def leave() -> None:
            if watcher in self._watchers:
                self._watchers = [each for each in self._watchers if each is not watcher]
                self._pictured -= pictures

        return leave

    def publish(self, reading: WindowResult) -> None:
        """Take a new reading."""
        self.latest[reading.source] = reading
        for watcher in self._watchers:
            watcher(reading)

    def forget(self, source: str) -> None:
        """Drop what was heard of a source that is no more."""
        with contextlib.suppress(KeyError):
            del self.latest[source]
        with contextlib.suppress(KeyError):
            del self.truths[source]
