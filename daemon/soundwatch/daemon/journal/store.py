"""The file of the journal: lines, cursors of the sinks and labels of people, in SQLite.

Conventions: `seq` counts from 1 without holes and continues where the file ends. A commit survives the end of this
program as soon as it returns, and a loss of power after a second or two (WAL, synchronous NORMAL). The age of a line is
the time that soundwatch ran since the line was written, suspended time included: the wall clock is not used,
since one wrong reading would remove everything. Marks in the table `ages` give that time for line numbers.
Rule for a full disk: the file and its log always have room for the next lines. Where the disk has no room left, the
oldest lines give theirs. A commit without room would fill the log, and then even removing lines would fail.
Rule for a damaged file: it is renamed, and a new file gets its readable rows (`journal/file/salvage.py`).
Rule for a file that is deleted or replaced while it is open: it is written to its path again.
Source: sqlite.org/wal.html. After `LOG_PAGES` the log is copied into the file, and then written from its start again.
Does not: know threads, apart from its one lock (`journal/journal.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.time.clock import monotonic_ns
from soundwatch.daemon.journal.entry import Cursor, JournalEntry, RetentionLimits, StoredLine, TrimResult, clip_rows
from soundwatch.daemon.journal.file.lock import JournalLock
from soundwatch.daemon.journal.file.migrations import copy_before_migration, free_name, opening_error
from soundwatch.daemon.journal.file.salvage import SalvageResult, salvage, set_last_seq
from soundwatch.daemon.journal.file.sqlite import (
    MEMORY,
    PAGE_BYTES,
    RESERVED_BYTES,
    copy_open_database,
    free_bytes,
    is_corruption,
    move_aside,
    open_database,
    preallocate,
    remove_expired,
    remove_oldest,
)

LOW_PAGES: Final = 128  # more than one commit takes
DISK_BYTES: Final = 4 * RESERVED_BYTES
DROPPED_SHARE: Final = 0.1
MAX_DROPPED: Final = 2000

Result = TypeVar("Result")


class JournalStore:
    """An open journal file. Safe to use from several threads, one at a time.

    Args:
        path: The file, made if it is absent; `MEMORY` for none.
        writing: The caller writes lines; a reader needs an existing file.
        lock: The right to write, held until `close`; None where only one process can know the path.
        steady_ns: A clock that cannot be set.

    Attributes:
        quarantined_path: The damaged file, under its new name; None where there was none.
        salvaged: Content that was copied from the damaged file; None where there was none.
        restored: The file was deleted or replaced while it was open, and has been written to its path again.
        migrated_from: Copy of the file in its earlier format; None where the format has not changed.

    Raises:
        StoreError: The file cannot be opened or made.
    """

    def __init__(
        self,
        path: Path | Literal[":memory:"],
        *,
        writing: bool = True,
        lock: JournalLock | None = None,
        steady_ns: Callable[[], int] = monotonic_ns,
    ) -> None:
        self.path = path
        self.quarantined_path: Path | None = None
        self.salvaged: SalvageResult | None = None
        self.restored = False
        self.migrated_from: Path | None = None
        self._file_lock = lock
        self._writing = writing
        self._lock = threading.RLock()
        self._steady_ns = steady_ns
        try:
            if writing and path != MEMORY:
                self.migrated_from = copy_before_migration(Path(path))
            self._db = open_database(self.path, writing=writing)
            if writing and path != MEMORY and free_bytes(path) >= DISK_BYTES:
                preallocate(self._db)  # closing the file gave the room of the log back
        except sqlite3.DatabaseError as error:
            if not writing or not is_corruption(error):
                raise opening_error(path, self.migrated_from, error) from error
            self._salvage()
        self._identity: str = self.query("SELECT id FROM identity")[0][0] if writing else ""
        self._begin_ns = steady_ns() - round((self.query("SELECT run_s FROM runtime")[0][0] if writing else 0) * 1e9)

    def commit(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]] = ()) -> int:
        """Write lines and cursors, all or none.

        Returns:
            The number of old lines that were removed to make room.

        Raises:
            sqlite3.Error: They cannot be written.
        """
        with self._lock:
            self.check_file()
            removed = self._make_room()
            self._commit(rows, cursors)
        return removed

    def read_after(self, seq: int, limit: int) -> list[JournalEntry]:
        """Return the next lines after number `seq`."""
        found = self.query("SELECT seq, line FROM lines WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
        return [JournalEntry(number, line) for number, line in found]

    def stored_after(self, seq: int, limit: int) -> list[StoredLine]:
        """Return the next lines after number `seq` with their indexed fields; all of them where `limit` is -1."""
        found = self.query("SELECT * FROM lines WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
        return [StoredLine(*values) for values in found]

    def last_seq(self) -> int:
        """Return the last number that was given; 0 before the first line."""
        found = self.query("SELECT seq FROM sqlite_sequence WHERE name = 'lines'")
        return found[0][0] if found else 0

    def identity(self) -> str:
        """Return a name that distinguishes the numbers of this journal from those of another one of the machine."""
        return self._identity

    def cursors(self) -> dict[str, Cursor]:
        """Return the cursor of each sink that has one."""
        found = self.query("SELECT sink, attempted, delivered FROM cursors")
        return {sink: Cursor(attempted, delivered) for sink, attempted, delivered in found}

    def open_events(self) -> list[bytes]:
        """Return the last line of every event without an end."""
        latest = "SELECT MAX(seq) FROM lines WHERE id IS NOT NULL AND type IN ('start', 'update', 'end') GROUP BY id"
        found = self.query(f"SELECT line FROM lines WHERE type != 'end' AND seq IN ({latest}) ORDER BY seq")  # noqa: S608
        return [line for (line,) in found]

    def trim(self, limits: RetentionLimits, delivered_seq: int | None = None) -> TrimResult:
        """Remove lines that are too old, and the oldest lines where the file is too large; add a mark of age.

        Args:
            limits: Of age and size.
            delivered_seq: Number of the last line that every sink has confirmed; None where there is no sink.

        Raises:
            sqlite3.Error: The file cannot be written.
        """
        with self._lock:
            self.check_file()
            first_seq = self._first_seq()
            with self._db:
                removed = remove_expired(self._db, self._run_s(), limits.max_age_s)
            pages, free = (self.query(f"PRAGMA {name}")[0][0] for name in ("page_count", "freelist_count"))
            if (pages - free) * PAGE_BYTES > limits.max_bytes:
                removed += self.drop_oldest(DROPPED_SHARE)
            undelivered = 0
            if removed and delivered_seq is not None:
                undelivered = max(0, self._first_seq() - 1 - max(delivered_seq, first_seq - 1))
            with self._db:
                self._db.execute("UPDATE runtime SET first_seq = ?", (self._first_seq(),))
        return TrimResult(removed, min(undelivered, removed))

    def drop_oldest(self, share: float) -> int:
        """Remove the oldest lines: a share of all, at least one, at most `MAX_DROPPED`."""
        with self._lock, self._db:
            return remove_oldest(self._db, share, MAX_DROPPED)

    def query(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        """Return the rows of a query.

        Raises:
            sqlite3.Error: The file cannot be read by its writer.
            StoreError: The file cannot be read by another program.
        """
        with self._lock:
            try:
                return self._db.execute(query, values).fetchall()
            except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
                if self._writing:
                    raise
                raise StoreError(
                    f"{self.path} cannot be read: {error}. `soundwatch run` salvages a damaged journal when it starts."
                ) from error

    def transaction(self, change: Callable[[sqlite3.Connection], Result]) -> Result:
        """Make several changes, all or none."""
        with self._lock, self._db:
            return change(self._db)

    def recreate(self, last_seq: int) -> SalvageResult:
        """Rename a damaged file and begin a new one with its readable rows; the next line follows `last_seq`.

        Raises:
            StoreError: The file cannot be renamed, or a new one cannot be made.
        """
        with self._lock:
            identity, run_s = self._identity, self._run_s()
            result = self._salvage()
            with self._db:
                set_last_seq(self._db, max(last_seq, result.last_seq))
                self._db.execute("UPDATE identity SET id = ?", (identity,))  # since the numbers continue
                self._db.execute("UPDATE runtime SET run_s = ?", (run_s,))
            self._identity = identity
        return result

    def check_file(self) -> None:
        """Write the journal to its path again if the file was deleted or replaced.

        Raises:
            sqlite3.OperationalError: This is impossible, or another program writes to the new file.
        """
        with self._lock:
            if self._file_lock is None or self._file_lock.current:
                return
            try:
                self._restore(Path(self.path), self._file_lock)
            except (OSError, StoreError) as error:
                raise sqlite3.OperationalError(
                    f"{self.path} was deleted or replaced, or cannot be reached, and cannot be restored: {error}"
                ) from error
            self.restored = True

    def close(self) -> None:
        """Close the file, and let other processes write to it."""
        with self._lock, contextlib.suppress(sqlite3.Error):
            self._db.close()
        if self._file_lock is not None:
            self._file_lock.release()

    def _run_s(self) -> float:
        return (self._steady_ns() - self._begin_ns) / 1e9

    def _first_seq(self) -> int:
        """Return the number of the first line; the next number where there is no line."""
        found = self.query("SELECT MIN(seq) FROM lines")[0][0]
        return self.last_seq() + 1 if found is None else int(found)

    def _make_room(self) -> int:
        """Ensure room for the next lines in the file.

        Returns:
            The number of old lines that were removed.
        """
        if self.path == MEMORY or self.query("PRAGMA freelist_count")[0][0] >= LOW_PAGES:
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
            self._db.executemany("INSERT OR IGNORE INTO clip_folders VALUES (?)", clip_rows(rows))

    def _salvage(self) -> SalvageResult:
        """Rename the file, and begin a new one with its readable rows."""
        path = Path(self.path)
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._db.close()
        self.quarantined_path = free_name(path, "damaged")
        try:
            move_aside(path, self.quarantined_path)
            if self._file_lock is not None:
                self._file_lock.renew()
            self._db = open_database(self.path, writing=True)
            self.salvaged = salvage(self.quarantined_path, self._db)
        except (OSError, sqlite3.DatabaseError) as error:
            raise StoreError(f"{path} is damaged and cannot be renamed: {error}. Move it away.") from error
        return self.salvaged

    def _restore(self, path: Path, lock: JournalLock) -> None:
        """Copy the open file, which has no path any more, to its path; a file that is there now is renamed."""
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if path.exists():
            lock.check_free()
        part = copy_open_database(self._db, path)
        self._db.close()  # removes the log by its name, so it comes before the new file has that name
        if path.exists():
            move_aside(path, free_name(path, "replaced"))
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        part.replace(path)
        lock.renew()
        self._db = open_database(self.path, writing=True)
