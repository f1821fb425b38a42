"""Protocols that sinks implement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from soundwatch.daemon.journal.entry import JournalEntry


class LineWriter(Protocol):
    """Where a replay's lines go, one at a time."""

    @property
    def name(self) -> str:
        """As the log names it."""

    def write(self, line: bytes) -> None:
        """Write one line and flush it.

        Raises:
            OSError: It could not be written; the next line may succeed.
        """

    def close(self) -> None:
        """Release what is held. May be called twice."""


class Sink(Protocol):
    """Where a journal's lines go. Each has a thread of its own, so `deliver` may wait."""

    @property
    def name(self) -> str:
        """As the log and the journal's cursors name it: the same after a restart, and without a password."""

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Hand lines on, in order; when this returns they are out of this program's hands.

        Raises:
            OSError: Some may not have arrived; all of them will be given again, marked as repeated.
            ReaderClosedError: Nobody will ever read there any more.
        """

    def close(self) -> None:
        """Release what is held. May be called twice, and while `deliver` waits."""


class WritableSink(Sink, LineWriter, Protocol):
    """Both: its `write` may be called from any thread, between what it delivers."""
