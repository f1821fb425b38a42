"""Queries for the statistics of a period: its events, its levels, and the lines that show when sources were scored.

Conventions: times are text as in lines. Rows come in pages, few enough not to delay the writer. All functions only
read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from soundwatch.daemon.journal.file.event_sql import LAST_LINE, PEAK_DBA, PEAK_DBFS
from soundwatch.daemon.journal.store import JournalStore

PAGE_ROWS: Final = 500

_EVENTS: Final = f"""
SELECT s.seq, s.time, {LAST_LINE}, {PEAK_DBFS}, {PEAK_DBA}
FROM lines s WHERE s.seq > ? AND s.type = 'start' AND s.time >= ? AND s.time < ? ORDER BY s.seq LIMIT ?
"""  # noqa: S608
_SOURCE_LINES: Final = """
SELECT seq, time, type, source, CASE WHEN type IN ('hello', 'stats', 'gap', 'health') THEN line END
FROM lines WHERE seq > ? AND source IS NOT NULL AND time >= ? AND time < ? ORDER BY seq LIMIT ?
"""
# A quarter of an hour ends within the range that it begins in.
_QUARTERS: Final = """
SELECT seq, line FROM lines WHERE seq > ? AND type = 'level' AND time > ? AND time <= ?
    AND json_extract(CAST(line AS TEXT), '$.period') = '15min' ORDER BY seq LIMIT ?
"""


class EventSummary(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Part of the last line of an event."""

    type: str
    id: str
    source: str
    class_: str
    onset: str
    peak_score: float
    duration_s: float | None
    continues: str | None = None


@dataclass(frozen=True, slots=True)
class CountedEvent:
    """An event of a period.

    Attributes:
        time: Time of its first line.
        last: Its last line.
        level_dbfs: Highest level in its lines; None where all are digital silence.
        level_dba: Highest A-weighted sound pressure level in its lines; None where the source has no calibration.
    """

    time: str
    last: EventSummary
    level_dbfs: float | None
    level_dba: float | None


@dataclass(frozen=True, slots=True)
class SourceLine:
    """A line of a source; `line` is the JSON of a `hello`, `stats`, `gap` or `health` line, None for other types."""

    time: str
    type: str
    source: str
    line: bytes | None


def read_events(store: JournalStore, since: str, until: str) -> Iterator[CountedEvent]:
    """Yield the events whose first lines lie in a range of times."""
    for _, time, last, level_dbfs, level_dba in _rows(store, _EVENTS, since, until):
        yield CountedEvent(time, msgspec.json.decode(last, type=EventSummary), level_dbfs, level_dba)


def read_source_lines(store: JournalStore, since: str, until: str) -> Iterator[SourceLine]:
    """Yield the lines of all sources in a range of times."""
    for _, *values in _rows(store, _SOURCE_LINES, since, until):
        yield SourceLine(*values)


def read_quarters(store: JournalStore, since: str, until: str) -> Iterator[bytes]:
    """Yield the `level` lines of the quarters of an hour in a range of times that has only full quarters."""
    for _, line in _rows(store, _QUARTERS, since, until):
        yield line


def _rows(store: JournalStore, query: str, since: str, until: str) -> Iterator[tuple[Any, ...]]:
    seq = 0
    while page := store.query(query, seq, since, until, PAGE_ROWS):
        yield from page
        seq = page[-1][0]
