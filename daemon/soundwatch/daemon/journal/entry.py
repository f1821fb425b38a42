"""What passes from the journal to those who read it, and what a sink has to be.

Conventions: as in `types.py`. A line is delivered at least once; one that may have been delivered before says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

BATCH_LINES: Final = 100  # that a sink is given at once


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of the journal on its way to a reader.

    Attributes:
        seq: Its number.
        line: JSON, ended by a newline.
        repeated: Whether it may have been delivered before.
    """

    seq: int
    line: bytes
    repeated: bool = False

    @property
    def marked(self) -> bytes:
        """The line, with `"repeated":true` as its last key if it is."""
        return self.line[:-2] + b',"repeated":true}\n' if self.repeated else self.line


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a sink has come.

    Attributes:
        attempted: The last line that was given to it.
        delivered: The last line that it has taken for certain.
    """

    attempted: int
    delivered: int


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
            ReaderGoneError: Nobody will ever read there any more.
        """

    def close(self) -> None:
        """Release what is held. May be called twice, and while `deliver` waits."""


class WritableSink(Sink, LineWriter, Protocol):
    """Both: its `write` may be called from any thread, between what it delivers."""
