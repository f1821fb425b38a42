"""What passes from the journal to those who read it, and what a sink has to be.

Conventions: as in `core/types.py`. A line is delivered at least once; one that may have been delivered before says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

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
