"""The journal's file: lines, how far each sink has come, and what people said of events, in SQLite.

Conventions: `seq` counts from 1 without holes and goes on where the file ends. A commit is safe from the end of this
program as soon as it returns, and from a loss of power within a second or two (WAL, synchronous NORMAL). Age is
that of a line's `time`.
Rule for a full disk: the file always has room for the next lines, and so has its log, which is written over from its
start again and again. Where the disk has no more room to give, that of the oldest lines is used instead. A commit
that needs room when there is none would fill the log, and then even dropping lines would fail.
Rule for a damaged file: it is put aside under another name, and a new one is begun.
Source: sqlite.org/wal.html. Each `LOG_PAGES` the log is copied into the file, and then written from its start again.
Does not: know threads, apart from its one lock (`journal/journal.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.entry import Cursor, JournalEntry
from soundwatch.daemon.journal.sqlite import (
    FORMAT,
    PAGE_BYTES,
    RESERVED_BYTES,
    configure_database,
    free_bytes,
    is_corruption,
    preallocate,
)

LOW_PAGES: Final = 128  # more than the lines that are committed at once take
DISK_BYTES: Final = 4 * RESERVED_BYTES
DROPPED_SHARE: Final = 0.1
MOST_DROPPED: Final = 2000
MEMORY: Final = ":memory:"

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class StoredLine:
    """A line and what it is looked up by."""

    seq: int
    time: str
    type: str
    source: str | None
    class_: str | None
    id: str | None
    line: bytes


@dataclass(frozen=True, slots=True)
class RetentionLimits:
    """How much a journal keeps.

    Attributes:
        max_age_s: Older lines are dropped.
        max_bytes: The oldest are dropped where all take more.
    """

    max_age_s: float
    max_bytes: int


class JournalStore:
    """An open file. Safe to use from several threads, one at a time.

    Args:
        path: The file, made if it is not there; `MEMORY` for none.
        writing: Whether lines will be written; else it has to be there.

    Raises:
        StoreError: It cannot be opened or made.
    """

    def __init__(self, path: Path | Literal[":memory:"], *, writing: bool = True) -> None:
        self.path = path
        self.quarantined_path: Path | None = None
        self._lock = threading.RLock()
        try:
            self._db = self._opened(writing)
            if writing and path != MEMORY and free_bytes(path) >= DISK_BYTES:
                preallocate(self._db)  # the log's was given back when the file was closed last
        except sqlite3.DatabaseError as error:
            if not writing or not is_corruption(error):
                raise StoreError(f"{path} cannot be opened as a journal: {error}.") from error
            self._renew()
        self._identity: str = self.ask("SELECT id FROM identity")[0][0] if writing else ""

    def commit(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]] = ()) -> int:
        """Keep lines, and how far sinks have come, all or nothing.

        Returns:
            How many of the oldest lines had to go for it.

        Raises:
            sqlite3.Error: It cannot be done.
        """
        with self._lock:
            dropped = self._make_room()
            self._commit(rows, cursors)
        return dropped

    def after(self, seq: int, most: int) -> list[JournalEntry]:
        """The next lines after number `seq`."""
        found = self.ask("SELECT seq, line FROM lines WHERE seq > ? ORDER BY seq LIMIT ?", seq, most)
        return [JournalEntry(number, line) for number, line in found]

    def last_seq(self) -> int:
        """The last number that was given; 0 before the first line."""
        found = self.ask("SELECT seq FROM sqlite_sequence WHERE name = 'lines'")
        return found[0][0] if found else 0

    def identity(self) -> str:
        """What tells this journal's numbers from another's of the same machine; it stays while its numbers go on."""
        return self._identity

    def cursors(self) -> dict[str, Cursor]:
        """How far each sink that keeps its place has come."""
        found = self.ask("SELECT sink, attempted, delivered FROM cursors")
        return {sink: Cursor(attempted, delivered) for sink, attempted, delivered in found}

    def open_events(self) -> list[bytes]:
        """The last line of every event that has no end."""
        latest = "SELECT MAX(seq) FROM lines WHERE id IS NOT NULL AND type IN ('start', 'update', 'end') GROUP BY id"
        found = self.ask(f"SELECT line FROM lines WHERE type != 'end' AND seq IN ({latest}) ORDER BY seq")  # noqa: S608
        return [line for (line,) in found]

    def label(self, event_id: str, time: str, class_: str | None) -> None:
        """Keep what a person said an event was: a class, or None for nothing of the kind."""
        with self._lock, self._db:
            self._db.execute("INSERT OR REPLACE INTO labels VALUES (?, ?, ?)", (event_id, time, class_))

    def trim(self, limits: RetentionLimits, oldest_time: str) -> int:
        """Drop what is older than `oldest_time`, or too much.

        Returns:
            How many lines that were.
        """
        with self._lock:
            with self._db:
                dropped = self._db.execute("DELETE FROM lines WHERE time < ?", (oldest_time,)).rowcount
            pages, free = (self.ask(f"PRAGMA {what}")[0][0] for what in ("page_count", "freelist_count"))
            if (pages - free) * PAGE_BYTES > limits.max_bytes:
                dropped += self.drop_oldest(DROPPED_SHARE)
        return dropped

    def drop_oldest(self, share: float) -> int:
        """Drop the oldest lines: a share of all, one at least, `MOST_DROPPED` at most."""
        with self._lock, self._db:
            count = self._db.execute("SELECT COUNT(*) FROM lines").fetchone()[0]
            oldest = "SELECT seq FROM lines ORDER BY seq LIMIT ?"
            most = min(max(1, int(count * share)), MOST_DROPPED)
            return self._db.execute(f"DELETE FROM lines WHERE seq IN ({oldest})", (most,)).rowcount  # noqa: S608

    def ask(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """What a query finds."""
        with self._lock:
            return self._db.execute(query, values).fetchall()

    def transaction(self, change: Callable[[sqlite3.Connection], Answer]) -> Answer:
        """Change several things, all or none."""
        with self._lock, self._db:
            return change(self._db)

    def renew(self, last_seq: int) -> Path | None:
        """Put a damaged file aside and begin a new one whose first line is the one after `last_seq`."""
        with self._lock:
            identity = self._identity
            self._renew()
            with self._db:
                self._db.execute("INSERT INTO sqlite_sequence VALUES ('lines', ?)", (last_seq,))
                self._db.execute("UPDATE identity SET id = ?", (identity,))  # since its numbers go on
            self._identity = identity
        return self.quarantined_path

    def close(self) -> None:
        """Close the file."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()

    def _make_room(self) -> int:
        """See that the next lines find room in the file.

        Returns:
            How many of the oldest had to go for it.
        """
        if self.path == MEMORY or self.ask("PRAGMA freelist_count")[0][0] >= LOW_PAGES:
            return 0
        if free_bytes(self.path) < DISK_BYTES:
            return self.drop_oldest(DROPPED_SHARE)
        preallocate(self._db)
        return 0

    def _commit(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]]) -> None:
        with self._db:
            self._db.executemany(
                "INSERT INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(row.seq, row.time, row.type, row.source, row.class_, row.id, row.line) for row in rows],
            )
            self._db.executemany(
                "INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)",
                [(sink, cursor.attempted, cursor.delivered) for sink, cursor in cursors],
            )

    def _opened(self, writing: bool) -> sqlite3.Connection:
        """The file, with its tables.

        Raises:
            sqlite3.DatabaseError: It is none of ours, damaged, or cannot be made.
            StoreError: It is of another release.
        """
        if self.path == MEMORY:
            db = sqlite3.connect(MEMORY, check_same_thread=False)
        else:
            mode = "rwc" if writing else "rw"  # a reader of a log that is being written to has to share its memory
            db = sqlite3.connect(
                f"{Path(self.path).absolute().as_uri()}?mode={mode}", uri=True, check_same_thread=False
            )
        try:
            configure_database(db, writing)
            found = db.execute("PRAGMA user_version").fetchone()[0]
        except sqlite3.DatabaseError:
            db.close()
            raise
        if found != FORMAT:
            db.close()
            raise StoreError(
                f"{self.path} is a journal of format {found}; this release reads {FORMAT}. Give another journal.path, "
                "or the release that wrote it."
            )
        return db

    def _renew(self) -> None:
        """Put the file aside and begin a new one."""
        path = Path(self.path)
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
        self.quarantined_path = path.with_name(f"{path.name}.damaged-{stamp}")
        try:
            for suffix in ("", "-wal", "-shm"):
                file = path.with_name(path.name + suffix)
                if file.exists():
                    file.rename(self.quarantined_path.with_name(self.quarantined_path.name + suffix))
            self._db = self._opened(writing=True)
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreError(f"{path} is damaged and cannot be put aside: {error}. Move it away.") from error
