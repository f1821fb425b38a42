"""Records that pass to the journal and from the journal to its readers.

Conventions: as in `core/records/`. A line is delivered at least once; a line that may be a repetition is marked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

import msgspec

from soundwatch.daemon.events.schema import Line

BATCH_LINES: Final = 100  # largest batch for a sink


@dataclass(frozen=True, slots=True)
class JournalEntry:
    """A line of the journal.

    Attributes:
        seq: Number of the line.
        line: JSON, ended by a newline.
        repeated: The line may have been delivered before.
    """

    seq: int
    line: bytes
    repeated: bool = False

    @property
    def encoded(self) -> bytes:
        """The line; a repeated line has `"repeated":true` as its last key."""
        return self.line[:-2] + b',"repeated":true}\n' if self.repeated else self.line


@dataclass(frozen=True, slots=True)
class Cursor:
    """Position of a sink in the journal.

    Attributes:
        attempted: Number of the last line that was handed to the sink.
        delivered: Number of the last line that the sink has confirmed.
    """

    attempted: int
    delivered: int


def cursor_name(sink: str) -> str:
    """Return the name of a sink with each byte that is not UTF-8 as its escape, since SQLite stores UTF-8 only."""
    return sink.encode("utf-8", "backslashreplace").decode()


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line and its indexed fields."""

    seq: int
    time: str
    type: str
    source: str | None
    class_: str | None
    id: str | None
    line: bytes


def stored_line(line: Line) -> StoredLine:
    """Return a line with its indexed fields."""
    return StoredLine(
        seq=line.seq,
        time=line.time,
        type=line.type,
        source=getattr(line, "source", None),
        class_=getattr(line, "class_", None),
        id=getattr(line, "id", None),
        line=msgspec.json.encode(line) + b"\n",
    )


class _Clip(msgspec.Struct):
    """Path of the file in a `clip` line."""

    path: str | None = None


def clip_rows(rows: Sequence[StoredLine]) -> set[tuple[str]]:
    """Return the folders of the clips that lines name, as rows of a table."""
    paths = [msgspec.json.decode(row.line, type=_Clip).path for row in rows if row.type == "clip"]
    return {(str(Path(path).parent),) for path in paths if path}


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """Limits of a journal.

    Attributes:
        max_age_s: Older lines are removed.
        max_bytes: Beyond this size the oldest lines are removed.
    """

    max_age_s: float
    max_bytes: int


@dataclass(frozen=True, slots=True)
class TrimResult:
    """Outcome of a trim.

    Attributes:
        removed_lines: Number of removed lines.
        undelivered_lines: Number of those that a sink had not confirmed.
    """

    removed_lines: int
    undelivered_lines: int


class LineAppender(Protocol):
    """A writer of lines: the journal, or in a replay a `DirectWriter`."""

    def append(self, line: Line) -> None:
        """Number a line and write it."""
