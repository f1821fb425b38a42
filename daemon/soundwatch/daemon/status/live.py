"""What is heard right now, window by window, for those who look: a page, a terminal, a metric.

Conventions: a reading is kept until the source's next one and then gone; nothing here is written or sent by itself.
What a window looked like is kept only while somebody watches for it.
Does not: tell events (`journal/journal.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from soundwatch.daemon.core.source import AudioQuality
from soundwatch.daemon.core.types import StreamSummary, WindowResult


class LiveFeed:
    """The latest reading of each source, how each is, and who is called with each new reading."""

    def __init__(self) -> None:
        self.latest: dict[str, WindowResult] = {}
        self.source_stats: dict[str, SourceStats] = {}
        self._watchers: list[Callable[[WindowResult], None]] = []
        self._pictured = 0

    @property
    def features_wanted(self) -> bool:
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
            del self.source_stats[source]


@dataclass(frozen=True, slots=True)
class SourceStats:
    """How a source is now, and how it was so far: all that a metric or a page may want to tell of it.

    Attributes:
        state: waiting before its first sound, then heard, lost, or paused because somebody asked for that.
        losses: How often it was lost.
        summary: What its stream has come to; while it is lost, up to then.
        shifted_ns: What its times have been moved by in all.
        quality: What its sound was like in the last ten seconds; None before they are over, and where it is lost.
    """

    state: Literal["waiting", "heard", "lost", "paused"] = "waiting"
    losses: int = 0
    summary: StreamSummary = field(default_factory=lambda: StreamSummary(0, 0, 0, final=False))
    shifted_ns: int = 0
    quality: AudioQuality | None = None
