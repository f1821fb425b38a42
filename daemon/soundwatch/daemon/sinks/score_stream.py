"""A sink that writes a `scores` line for each window between the lines of the journal.

Conventions: `scores` lines are made on request only, are in no journal and have no number. A slow reader gets the
latest `PENDING_WINDOWS` and misses those before.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Sequence
from typing import Final

import msgspec

from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.events.notices import scores_line
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.protocols import WritableSink
from soundwatch.daemon.status.live import LiveFeed

PENDING_WINDOWS: Final = 100


class ScoreStreamSink:
    """A sink and the scores of every window.

    Args:
        sink: Destination of all lines.
        live: Source of the windows.
        node: Name of this machine.
    """

    def __init__(self, sink: WritableSink, live: LiveFeed, node: str) -> None:
        self._sink = sink
        self._node = node
        self._pending = deque[WindowResult](maxlen=PENDING_WINDOWS)
        self._wake = threading.Event()
        self._closed = False
        self._unsubscribe = live.subscribe(self._add)
        threading.Thread(target=self._write_scores, name=f"scores for {sink.name}", daemon=True).start()

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

    def _add(self, result: WindowResult) -> None:
        self._pending.append(result)
        self._wake.set()

    def _write_scores(self) -> None:
        while not self._closed:
            self._wake.wait()
            self._wake.clear()
            while self._pending and not self._closed:
                line = scores_line(self._pending.popleft(), self._node)
                with contextlib.suppress(Exception):  # the next delivery shows whether the reader has gone
                    self._sink.write(msgspec.json.encode(line) + b"\n")
