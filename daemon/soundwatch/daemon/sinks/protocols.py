"""Protocols that sinks implement, and the status of a sink."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from soundwatch.daemon.journal.entry import JournalEntry

SinkState = Literal["working", "failing", "gone"]


class LineWriter(Protocol):
    """A destination of single lines; a replay writes to it."""

    @property
    def name(self) -> str:
        """Name in the log."""

    def write(self, line: bytes) -> None:
        """Write one line and flush it.

        Raises:
            OSError: The line could not be written; the next line may succeed.
        """

    def close(self) -> None:
        """Release resources. A second call does nothing."""


class Sink(Protocol):
    """A destination of the journal's lines. Each sink has its own thread, so `deliver` may wait."""

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Deliver lines in order; when it returns, the lines have been handed over.

        Raises:
            OSError: Some lines may not have arrived; all of them are delivered again, marked as repeated.
            ReaderClosedError: The reader has gone for good.
        """

    def close(self) -> None:
        """Release resources and interrupt a waiting `deliver`. A second call does nothing."""


class WritableSink(Sink, LineWriter, Protocol):
    """A sink whose `write` may be called from any thread, between deliveries."""


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """Status of a sink.

    Attributes:
        name: Name of the sink.
        state: working, failing, or gone: the reader has left for good.
        reason: Cause of the failure.
        since_unix_ns: Start of the state.
        delivered_seq: Number of the last line that the sink has taken.
        lost_lines: Number of lines that were dropped before the sink could take them.
    """

    name: str
    state: SinkState = "working"
    reason: str | None = None
    since_unix_ns: int = 0
    delivered_seq: int = 0
    lost_lines: int = 0
