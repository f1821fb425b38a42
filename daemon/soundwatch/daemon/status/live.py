"""Live scores and levels: the latest of each source, and the subscribers that get every window or second.

Conventions: a result is kept until the source's next one; nothing here is written or sent. A window's features are kept
only while a subscriber wants them.
Does not: know events (`journal/journal.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from soundwatch.daemon.core.source import AudioQuality
from soundwatch.daemon.core.types import Block, StreamSummary, WindowResult
from soundwatch.daemon.events.level_schema import LevelLine


class LiveFeed:
    """The latest result, level and statistics of each source, and the subscribers to new results and levels."""

    def __init__(self) -> None:
        self.latest: dict[str, WindowResult] = {}
        self.latest_levels: dict[str, LevelLine] = {}
        self.source_stats: dict[str, SourceStats] = {}
        self._level_subscribers: list[Callable[[LevelLine], None]] = []
        self._subscribers: list[Callable[[WindowResult], None]] = []
        self._sound_subscribers: dict[str, list[Callable[[Block], None]]] = {}
        self._feature_subscribers = 0

    @property
    def wanted(self) -> bool:
        """Whether anyone subscribes to results."""
        return bool(self._subscribers)

    @property
    def features_wanted(self) -> bool:
        """Whether results are to hold their features."""
        return self._feature_subscribers > 0

    def subscribe(self, subscriber: Callable[[WindowResult], None], *, features: bool = False) -> Callable[[], None]:
        """Call a function with each result, in the engine's thread; the function must not wait.

        Args:
            subscriber: The function.
            features: Keep the features in the results while this lasts.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        self._subscribers = [*self._subscribers, subscriber]
        self._feature_subscribers += features

        def unsubscribe() -> None:
            if subscriber in self._subscribers:
                self._subscribers = [other for other in self._subscribers if other is not subscriber]
                self._feature_subscribers -= features

        return unsubscribe

    def publish(self, result: WindowResult) -> None:
        """Keep a result, and hand it to the subscribers."""
        self.latest[result.source] = result
        for subscriber in self._subscribers:
            subscriber(result)

    def subscribe_levels(self, subscriber: Callable[[LevelLine], None]) -> Callable[[], None]:
        """Call a function with the level of each second and minute, in the engine's thread; the function must not wait.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        self._level_subscribers = [*self._level_subscribers, subscriber]

        def unsubscribe() -> None:
            self._level_subscribers = [other for other in self._level_subscribers if other is not subscriber]

        return unsubscribe

    def publish_level(self, level: LevelLine) -> None:
        """Hand the level of a second or a minute to the subscribers, and keep that of a second."""
        if level.period == "1s":
            self.latest_levels[level.source] = level
        for subscriber in self._level_subscribers:
            subscriber(level)

    def subscribe_sound(self, source: str, subscriber: Callable[[Block], None]) -> Callable[[], None]:
        """Call a function with each block of a source, in the engine's thread; the function must not wait.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        self._sound_subscribers[source] = [*self._sound_subscribers.get(source, []), subscriber]

        def unsubscribe() -> None:
            kept = [other for other in self._sound_subscribers.get(source, []) if other is not subscriber]
            self._sound_subscribers[source] = kept

        return unsubscribe

    def publish_sound(self, source: str, block: Block) -> None:
        """Hand a block to the subscribers of its source."""
        for subscriber in self._sound_subscribers.get(source, ()):
            subscriber(block)

    def listeners(self, source: str) -> int:
        """Return the number of subscribers to the sound of a source."""
        return len(self._sound_subscribers.get(source, ()))

    def remove(self, source: str) -> None:
        """Remove a source."""
        with contextlib.suppress(KeyError):
            del self.latest_levels[source]
        with contextlib.suppress(KeyError):
            del self.latest[source]
        with contextlib.suppress(KeyError):
            del self.source_stats[source]


@dataclass(frozen=True, slots=True)
class SourceStats:
    """Running statistics of one source. The status tracker has its state (`snapshot.py`).

    Attributes:
        losses: Number of times that the source was lost.
        summary: Totals of the stream; while the source is lost, up to the loss.
        shifted_ns: Sum of the corrections of the stream's times.
        quality: Audio quality of the last ten seconds; None before they are over and while the source is lost.
    """

    losses: int = 0
    summary: StreamSummary = field(default_factory=lambda: StreamSummary(0, 0, 0, final=False))
    shifted_ns: int = 0
    quality: AudioQuality | None = None
