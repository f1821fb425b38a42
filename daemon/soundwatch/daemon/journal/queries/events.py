"""Queries for events, clips, counts, totals and damage of the journal.

Conventions: times are text as in lines. All functions only read.
Does not: decode lines, except where noted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.journal.file.event_sql import LAST_LINE, PEAK_DBFS
from soundwatch.daemon.journal.store import JournalStore

QUARTER_S: Final = 900

_EVENTS: Final = f"""
SELECT seq, first_time, first, last, peak_level_dbfs, clip, labels.time, labels.class FROM (
    SELECT s.seq, s.id, s.time AS first_time, s.line AS first, s.class AS event_class, s.source,
        {LAST_LINE} AS last, {PEAK_DBFS} AS peak_level_dbfs,
        (SELECT line FROM lines WHERE id = s.id AND type = 'clip' ORDER BY seq DESC LIMIT 1) AS clip
    FROM lines s WHERE s.type = 'start'
) LEFT JOIN labels USING (id)
"""  # noqa: S608
_SEARCH_TEXT: Final = (
    "event_class || ' ' || replace(event_class, '_', ' ') || ' ' || source || ' ' || coalesce(labels.class, '')"
)
_EVENT_CONDITIONS: Final = {
    "before_seq": "seq < ?",
    "class": "event_class = ?",
    "source": "source = ?",
    "since": "first_time >= ?",
    "until": "first_time < ?",
    "min_peak_score": "json_extract(CAST(last AS TEXT), '$.peak_score') >= ?",
    "has_clip": "(json_extract(CAST(clip AS TEXT), '$.file') IS NOT NULL) = ?",
    "text": f"instr(lower({_SEARCH_TEXT}), lower(?)) > 0",
}
_COUNT_CONDITIONS: Final = {"since": "time >= ?", "until": "time < ?", "source": "source = ?"}


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event of the journal.

    Attributes:
        seq: Number of its first line.
        time: Time of its first line.
        first: Its `start` line, JSON.
        last: Its last line, JSON.
        peak_level_dbfs: Highest level in its lines; None where all are digital silence.
        clip: Its last `clip` line, JSON; None where there is none.
        label_time: Time of its label; None where there is none.
        label_class: Class of its label; None also for a label that denies the event.
    """

    seq: int
    time: str
    first: bytes
    last: bytes
    peak_level_dbfs: float | None
    clip: bytes | None
    label_time: str | None
    label_class: str | None


@dataclass(frozen=True, slots=True)
class JournalTotals:
    """Totals of a journal.

    Attributes:
        lines: Number of lines.
        labels: Number of labels.
        oldest: Time of the oldest line; None where there is none.
        newest: Time of the newest line; None where there is none.
    """

    lines: int
    labels: int
    oldest: str | None
    newest: str | None


def find_event_rows(store: JournalStore, wanted: Mapping[str, object], limit: int) -> list[StoredEvent]:
    """Return events, newest first.

    Args:
        store: The journal.
        wanted: Values by the names of `_EVENT_CONDITIONS`; `text` is searched in class, source and label.
        limit: The largest number of events.
    """
    where = " AND ".join(_EVENT_CONDITIONS[name] for name in wanted)
    clause = f"WHERE {where}" if where else ""
    found = store.query(f"{_EVENTS} {clause} ORDER BY seq DESC LIMIT ?", *wanted.values(), limit)
    return [StoredEvent(*row) for row in found]


def find_event_row(store: JournalStore, event_id: str) -> StoredEvent | None:
    """Return the event of an id; None if there is none."""
    found = store.query(f"{_EVENTS} WHERE id = ? LIMIT 1", event_id) if event_id.isascii() else []
    return StoredEvent(*found[0]) if found else None


def last_clip_line(store: JournalStore, event_id: str) -> bytes | None:
    """Return the last `clip` line of an event; None if there is none."""
    found = store.query("SELECT line FROM lines WHERE id = ? AND type = 'clip' ORDER BY seq DESC LIMIT 1", event_id)
    return found[0][0] if found else None


def count_starts(store: JournalStore, wanted: Mapping[str, object]) -> list[tuple[str, int, int]]:
    """Count the events of each class in each quarter of an hour.

    Args:
        store: The journal.
        wanted: Values by the names of `_COUNT_CONDITIONS`.

    Returns:
        Class, number of the quarter since 1970, and number of events; ordered by quarter and class.
    """
    where = " AND ".join(("type = 'start'", *(_COUNT_CONDITIONS[name] for name in wanted)))
    return [
        (class_, quarter, events)
        for class_, quarter, events in store.query(
            f"SELECT class, CAST(strftime('%s', time) AS INTEGER) / {QUARTER_S} AS quarter, COUNT(*) FROM lines "  # noqa: S608
            f"WHERE {where} GROUP BY class, quarter ORDER BY quarter, class",
            *wanted.values(),
        )
    ]


def journal_totals(store: JournalStore) -> JournalTotals:
    """Return the totals of a journal."""
    [(lines, oldest, newest)] = store.query("SELECT COUNT(*), MIN(time), MAX(time) FROM lines")
    [(labels,)] = store.query("SELECT COUNT(*) FROM labels")
    return JournalTotals(lines, labels, oldest, newest)


def clip_folders(store: JournalStore) -> list[str]:
    """Return every folder that a clip was written to, also where its line was removed; none by an older release."""
    if not store.query("SELECT 1 FROM sqlite_master WHERE name = 'clip_folders'"):
        return []
    return [path for (path,) in store.query("SELECT path FROM clip_folders ORDER BY path")]


def find_damage(store: JournalStore) -> str | None:
    """Check the file and its indexes; return the first damage, None for a sound file."""
    found = str(store.query("PRAGMA integrity_check(1)")[0][0])
    return None if found == "ok" else found
