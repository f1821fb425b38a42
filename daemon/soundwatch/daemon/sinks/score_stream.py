"""A sink that also gets a line for every window, whatever was decided: what is heard just now.

Conventions: `scores` lines are made only for whoever asked, are in no journal and have no number. A reader that is slow
gets the latest `WAITING_LINES`, and misses those before.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.events.encoder import scores_line
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.protocols import WritableSink
from soundwatch.daemon.status.live import LiveFeed

WAITING_LINES: Final = 100


class ScoreStreamSink:
    """A sink and, among its lines, those of every window.

    Args:
        sink: It.
        live: Where the windows are seen.
        node: Name of this machine.
        wanted: Whether anybody reads just now.
    """

    def __init__(
        self, sink: WritableSink, live: LiveFeed, node: str, wanted: Callable[[], bool] = lambda: True
    ) -> None:
        self.name = sink.name
        self._sink = sink
        self._node = node
        self._wanted = wanted
        self._waiting = deque[WindowResult](maxlen=WAITING_LINES)
        self._news = threading.Event()
        self._closed = False
        self._leave = live.watch(self._notice)
        threading.Thread(target=self._write, name=f"scores for {sink.name}", daemon=True).start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """As the sink does.

        Raises:
            OSError: As of the sink.
            ReaderClosedError: As of the sink.
        """
        self._sink.deliver(entries)

    def close(self) -> None:
        """Close the sink."""
        self._leave()
        self._closed = True
        self._news.set()
        self._sink.close()

    def _notice(self, reading: WindowResult) -> None:
        if self._wanted():
            self._waiting.append(reading)
            self._news.set()

    def _write(self) -> None:
        while not self._closed:
            self._news.wait()
            self._news.clear()
            while self._waiting and not self._closed:
                line = scores_line(self._waiting.popleft(), self._node)
                with contextlib.suppress(OSError):  # whether its reader has gone shows at the next line that counts
                    self._sink.write(msgspec.json.encode(line) + b"\n")
