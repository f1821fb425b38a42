"""A sink that writes `scores` and `level` lines between the lines of the journal.

Conventions: these lines are made on request only, are in no journal and have no number. A slow reader gets the latest
`PENDING_LINES` and misses those before.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import msgspec

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.events.level_schema import LevelLine
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.events.schema import ScoresLine
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.protocols import WritableSink
from soundwatch.daemon.status.live import LiveFeed

PENDING_LINES: Final = 100


def subscribe_lines(
    live: LiveFeed, take: Callable[[WindowResult | LevelLine], None], *, scores: bool, level: bool
) -> Callable[[], None]:
    """Subscribe to the scores of each window, the level of each second, or both; return a function that ends this."""
    ends = [live.subscribe(take)] if scores else []
    if level:
        ends.append(live.subscribe_levels(take))

    def unsubscribe() -> None:
        for end in ends:
            end()

    return unsubscribe


def live_line(item: WindowResult | LevelLine, node: str) -> ScoresLine | LevelLine:
    """Return the line of a window or of a second."""
    return item if isinstance(item, LevelLine) else scores_line(item, node)


class LiveStreamSink:
    """A sink, and the scores of every window or the level of every second.

    Args:
        sink: Destination of all lines.
        live: Source of the scores and levels.
        node: Name of this machine.
        scores: Write the scores of every window.
        level: Write the level of every second.
    """

    def __init__(self, sink: WritableSink, live: LiveFeed, node: str, *, scores: bool, level: bool) -> None:
        self._sink = sink
        self._pending = deque[Callable[[], ScoresLine | LevelLine]](maxlen=PENDING_LINES)
        self._wake = threading.Event()
        self._closed = False
        self._unsubscribe = subscribe_lines(live, partial(self._add, node), scores=scores, level=level)
        threading.Thread(target=self._write_lines, name=f"live lines for {sink.name}", daemon=True).start()

    @property
    def on_settled(self) -> Callable[[int], object]:
        """Called with the number of each written line."""
        return self._sink.on_settled

    @on_settled.setter
    def on_settled(self, call: Callable[[int], object]) -> None:
        self._sink.on_settled = call

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Deliver lines to the sink.

        Raises:
            OSError: As the sink raises it.
            ReaderClosedError: As the sink raises it.
        """
        self._sink.deliver(entries)

    def close(self) -> None:
        """Close the sink."""
        self._unsubscribe()
        self._closed = True
        self._wake.set()
        self._sink.close()

    def _add(self, node: str, item: WindowResult | LevelLine) -> None:
        self._pending.append(partial(live_line, item, node))
        self._wake.set()

    def _write_lines(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            while self._pending and not self._closed:
                line = self._pending.popleft()()
                with contextlib.suppress(Exception):  # the next delivery shows whether the reader has gone
                    self._sink.write(msgspec.json.encode(line) + b"\n")
