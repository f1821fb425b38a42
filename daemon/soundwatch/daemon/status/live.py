"""Live scores and levels: the latest of each source, and the subscribers that get every window or second.

Conventions: a result is kept until the source's next one; nothing here is written or sent. A window's features are kept
only while a subscriber wants them.
Does not: know events (`journal/journal.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from soundwatch.daemon.core.model.tags import highest_tags
from soundwatch.daemon.core.process.subscribers import Subscribers
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.source import AudioQuality
from soundwatch.daemon.core.records.stream import StreamSummary
from soundwatch.daemon.events.level_schema import LevelLine


class LiveFeed:
    """The latest result, level and statistics of each source, and the subscribers to new results and levels."""

    def __init__(self) -> None:
        self.latest: dict[str, WindowResult] = {}
        self.latest_levels: dict[str, LevelLine] = {}
        self.source_stats: dict[str, SourceStats] = {}
        self._results = Subscribers[WindowResult]()
        self._results_with_features = Subscribers[WindowResult]()
        self._levels = Subscribers[LevelLine]()
        self._sounds: dict[str, Subscribers[Block]] = {}

    @property
    def wanted(self) -> bool:
        """Return True if there is a subscriber to results."""
        return len(self._results) > 0 or self.features_wanted

    @property
    def features_wanted(self) -> bool:
        """Return True if results have to hold their features."""
        return len(self._results_with_features) > 0

    def subscribe(self, subscriber: Callable[[WindowResult], None], *, features: bool = False) -> Callable[[], None]:
        """Call a function with each result, in the engine's thread; the function must not wait.

        Args:
            subscriber: The function.
            features: Keep the features in the results while this lasts.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        return (self._results_with_features if features else self._results).add(subscriber)

    def publish(self, result: WindowResult) -> None:
        """Keep a result, and hand it to the subscribers."""
        self.latest[result.source] = result
        self._results.call(result)
        self._results_with_features.call(result)

    def latest_tags(self, source: str) -> tuple[tuple[str, float], ...]:
        """Return the highest tags of a source's latest window with their scores; none before the first window."""
        latest = self.latest.get(source)
        return () if latest is None else highest_tags(latest.tags, latest.tag_values.tolist())

    def subscribe_levels(self, subscriber: Callable[[LevelLine], None]) -> Callable[[], None]:
        """Call a function with the level of each second and minute, in the engine's thread; the function must not wait.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        return self._levels.add(subscriber)

    def publish_level(self, level: LevelLine) -> None:
        """Hand the level of a second or a minute to the subscribers, and keep that of a second."""
        if level.period == "1s":
            self.latest_levels[level.source] = level
        self._levels.call(level)

    def subscribe_sound(self, source: str, subscriber: Callable[[Block], None]) -> Callable[[], None]:
        """Call a function with each block of a source, in the engine's thread; the function must not wait.

        Returns:
            A function that ends the subscription. A second call does nothing.
        """
        return self._sounds.setdefault(source, Subscribers()).add(subscriber)

    def publish_sound(self, source: str, block: Block) -> None:
        """Hand a block to the subscribers of its source."""
        if (subscribers := self._sounds.get(source)) is not None:
            subscribers.call(block)

    def listeners(self, source: str) -> int:
        """Return the number of subscribers to the sound of a source."""
        return len(self._sounds.get(source, ()))

    def remove(self, source: str) -> None:
        """Remove a source."""
        self.latest_levels.pop(source, None)
        self.latest.pop(source, None)
        self.source_stats.pop(source, None)


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
