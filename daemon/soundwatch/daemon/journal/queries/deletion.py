"""Delete events from the journal on request.

Conventions: all lines and the label of an event are deleted in one transaction, and a `health` line of the journal
names their number. Sinks keep what they have received, and the lines have to be those that all sinks have taken
(`web/api/deletion.py`). A reader that comes later sees a hole in the numbers; the table `deleted` has them, so they do
not count as lost.
Does not: delete clips (`web/api/deletion.py`), or ask whether the request is allowed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.health_schema import JournalHealthLine
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore


def last_seqs(store: JournalStore, ids: Sequence[str]) -> dict[str, int]:
    """Return the number of the last line of each event."""
    marks = ", ".join("?" * len(ids))
    return dict(store.query(f"SELECT id, max(seq) FROM lines WHERE id IN ({marks}) GROUP BY id", *ids))  # noqa: S608


def lost_lines(store: JournalStore, after_seq: int, next_seq: int) -> int:
    """Return how many lines between two numbers the journal has dropped; those deleted on request do not count.

    Raises:
        sqlite3.Error: The file cannot be read.
    """
    missing = next_seq - after_seq - 1
    if missing <= 0:
        return 0
    found = store.query("SELECT count(*) FROM deleted WHERE seq > ? AND seq < ?", after_seq, next_seq)
    return missing - int(found[0][0])


def delete_events(journal: Journal, ids: Sequence[str], by: str, node: str, now_unix_ns: int) -> int:
    """Delete the lines and labels of events; return the number of lines.

    Args:
        journal: The journal.
        ids: Ids of the events.
        by: Detail of the deletion for the `health` line, after the number of events.
        node: Name of this machine.
        now_unix_ns: UTC.

    Raises:
        sqlite3.Error: The file cannot be written; nothing is deleted.
    """
    journal.flush()
    marks = ", ".join("?" * len(ids))

    def change(db: sqlite3.Connection) -> int:
        db.execute(f"INSERT OR IGNORE INTO deleted SELECT seq FROM lines WHERE id IN ({marks})", ids)  # noqa: S608
        db.execute(f"DELETE FROM labels WHERE id IN ({marks})", ids)  # noqa: S608  # question marks only
        return db.execute(f"DELETE FROM lines WHERE id IN ({marks})", ids).rowcount  # noqa: S608

    lines = journal.store.transaction(change)
    journal.clear_memory()
    journal.append(
        JournalHealthLine(
            seq=UNNUMBERED,
            time=format_utc(now_unix_ns),
            node=node,
            state="working",
            detail=f"{counted(len(ids), 'event')} with {lines} lines {by}",
            dropped_lines=journal.dropped_lines,
        )
    )
    return lines
