"""The SQLite file of a journal: schema, write-ahead log, preallocation and damage.

Conventions: as in `journal/store.py`.
Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import sqlite3
from pathlib import Path
from typing import Final, Literal

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.file.line_check import unsound_line
from soundwatch.daemon.journal.file.migrations import DELETED_TABLE, FORMAT, LATER_TABLES, STEPS, migrate, user_version
from soundwatch.daemon.journal.file.views import create_views

PAGE_BYTES: Final = 4096
LOG_PAGES: Final = 100
RESERVED_BYTES: Final = 1_000_000  # more than the pages of the log
IDENTITY_BYTES: Final = 8
MAX_AGE_STEP_S: Final = 3600.0
LEAST_TABLES: Final = 3  # a file with fewer tables of a journal belongs to another program
MEMORY: Final = ":memory:"

# `room` is empty except during `preallocate`, which leaves its pages free for lines.
_TABLES: Final = """
CREATE TABLE lines (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    time TEXT NOT NULL, type TEXT NOT NULL, source TEXT, class TEXT, id TEXT,
    line BLOB NOT NULL
);
CREATE INDEX lines_time ON lines (time);
CREATE INDEX lines_id ON lines (id, seq) WHERE id IS NOT NULL;
CREATE TABLE cursors (sink TEXT PRIMARY KEY, attempted INTEGER NOT NULL, delivered INTEGER NOT NULL);
CREATE TABLE labels (id TEXT PRIMARY KEY, time TEXT NOT NULL, class TEXT);
CREATE TABLE room (filler BLOB);
"""
_NEWEST: Final = f"{_TABLES} {LATER_TABLES} {DELETED_TABLE}"


def configure_database(db: sqlite3.Connection, *, writing: bool) -> None:
    """Set up an open file; a writer also checks it, rebuilds damaged indexes, and makes or migrates its tables.

    Raises:
        sqlite3.DatabaseError: The file is damaged, or belongs to another program.
    """
    try:
        _configure(db, writing=writing)
    except UnicodeDecodeError as error:  # of a message of SQLite, which names what is damaged
        raise corruption_error("its tables have names that are not UTF-8") from error


def _configure(db: sqlite3.Connection, *, writing: bool) -> None:
    db.execute("PRAGMA busy_timeout = 2000")
    if not writing:
        db.execute("PRAGMA query_only = ON")
        return
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    if damage_of(db) is not None:
        db.execute("REINDEX")  # an index can be rebuilt from its table; any other damage is still there afterwards
        if (damage := damage_of(db)) is not None:
            raise corruption_error(damage)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        db.executescript(f"BEGIN; {_NEWEST} PRAGMA user_version = {FORMAT}; COMMIT;")
    elif user_version(db) in (*STEPS, FORMAT):
        if (table := _damaged_table(db)) is not None:
            raise corruption_error(f"the definition of the table {table} is damaged")
        if (seq := unsound_line(db)) is not None:
            raise corruption_error(f"line {seq} is damaged")
    migrate(db)
    if user_version(db) != FORMAT:
        return
    with db:
        identity = (secrets.token_hex(IDENTITY_BYTES),)
        db.execute("INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", identity)
        db.execute("INSERT INTO runtime SELECT 0, 1 WHERE NOT EXISTS (SELECT 1 FROM runtime)")


def _damaged_table(db: sqlite3.Connection) -> str | None:
    """Return the first table whose definition is not the journal's; None where all are, or in another program's file.

    SQLite sees no damage in a definition that can still be read, such as one with another column's name.
    """
    with contextlib.closing(sqlite3.connect(MEMORY)) as fresh:
        fresh.executescript(_NEWEST)
        wanted, found = (_definitions(one, _table_names(fresh)) for one in (fresh, db))
    absent = [table for table, columns in found.items() if not columns]
    if len(found) - len(absent) < LEAST_TABLES:
        return None
    is_complete = user_version(db) == FORMAT
    return next((table for table in wanted if (found[table] or is_complete) and found[table] != wanted[table]), None)


def _table_names(db: sqlite3.Connection) -> list[str]:
    return [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]


def _definitions(db: sqlite3.Connection, tables: list[str]) -> dict[str, list[tuple[object, ...]]]:
    """Return name, type and constraints of each column, by table; none for a table that is absent."""
    return {table: db.execute("SELECT * FROM pragma_table_info(?)", (table,)).fetchall() for table in tables}


def damage_of(db: sqlite3.Connection) -> str | None:
    """Return the first damage of a file, indexes included; None for a sound file."""
    found = str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    return None if found == "ok" else found


def preallocate(db: sqlite3.Connection) -> None:
    """Let the file and its log grow by `RESERVED_BYTES`."""
    with db:
        db.execute("INSERT INTO room VALUES (zeroblob(?))", (RESERVED_BYTES,))
    with db:
        db.execute("DELETE FROM room")
    db.execute("PRAGMA wal_checkpoint(RESTART)")


def free_bytes(path: Path | str) -> int:
    """Return the free space of the disk of a file; 0 where it is unknown."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(Path(path).parent).free
    return 0


def corruption_error(found: str) -> sqlite3.DatabaseError:
    """Return the error that SQLite raises on reading a damaged page."""
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_corruption(error: sqlite3.Error) -> bool:
    """Return True if an error reports damage of the file, False if the file cannot be reached."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def open_database(path: Path | Literal[":memory:"], *, writing: bool) -> sqlite3.Connection:
    """Open a journal file; a writer also makes it, with mode 0600.

    Raises:
        sqlite3.DatabaseError: The file is damaged, belongs to another program, or cannot be made.
        StoreError: The file belongs to another release.
        OSError: The file cannot be made.
    """
    if path == MEMORY:
        db = sqlite3.connect(MEMORY, check_same_thread=False)
    else:
        if writing and not Path(path).exists():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        db = sqlite3.connect(f"{Path(path).absolute().as_uri()}?mode=rw", uri=True, check_same_thread=False)
    try:
        configure_database(db, writing=writing)
        found = user_version(db)
        if writing and found == FORMAT:
            create_views(db)
    except sqlite3.DatabaseError:
        db.close()
        raise
    if found != FORMAT and (writing or found not in STEPS):
        is_empty = not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
        db.close()
        raise _unreadable(path, found, is_empty=is_empty)
    return db


def _unreadable(path: Path | str, found: int, *, is_empty: bool) -> StoreError:
    """Explain why a database is not read as a journal."""
    if is_empty:
        return StoreError(f"{path} has no lines and no tables yet; `soundwatch run` makes a journal of it.")
    if found == 0:
        return StoreError(f"{path} is a database of another program, not a journal. Give another journal.path.")
    return StoreError(
        f"{path} is a journal of format {found}; this release reads up to {FORMAT}. Give another journal.path, or the "
        "release that wrote it."
    )


def copy_open_database(db: sqlite3.Connection, path: Path) -> Path:
    """Copy an open database, also one without a path, to a temporary file next to `path`; return that file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(sqlite3.connect(part)) as copy:
        db.backup(copy)
    return part


def remove_expired(db: sqlite3.Connection, now_s: float, max_age_s: float) -> int:
    """Remove lines by the marks of age, and add a mark, in an open transaction.

    Args:
        db: The journal.
        now_s: Total running time so far.
        max_age_s: Lines that are older are removed.

    Returns:
        The number of removed lines.
    """
    removed = 0
    expired_seq = db.execute("SELECT MAX(seq) FROM ages WHERE run_s <= ?", (now_s - max_age_s,)).fetchone()[0]
    if expired_seq is not None:
        removed = db.execute("DELETE FROM lines WHERE seq <= ?", (expired_seq,)).rowcount
        db.execute("DELETE FROM ages WHERE seq <= ?", (expired_seq,))
    marked_s = db.execute("SELECT MAX(run_s) FROM ages").fetchone()[0]
    if marked_s is None or now_s >= marked_s + min(MAX_AGE_STEP_S, max_age_s / 10):
        mark = "INSERT OR IGNORE INTO ages SELECT seq, ? FROM sqlite_sequence WHERE name = 'lines'"
        db.execute(mark, (now_s,))
    db.execute("UPDATE runtime SET run_s = ?", (now_s,))
    return removed


def remove_oldest(db: sqlite3.Connection, share: float, limit: int) -> int:
    """Remove a share of all lines, at least one and at most `limit`, in an open transaction; return their number."""
    count = min(max(1, int(db.execute("SELECT COUNT(*) FROM lines").fetchone()[0] * share)), limit)
    return db.execute("DELETE FROM lines WHERE seq IN (SELECT seq FROM lines ORDER BY seq LIMIT ?)", (count,)).rowcount


def move_aside(path: Path, target: Path) -> None:
    """Rename a database with its log.

    Raises:
        OSError: A file cannot be renamed.
    """
    for suffix in ("", "-wal", "-shm"):
        file = path.with_name(path.name + suffix)
        if file.exists():
            file.replace(target.with_name(target.name + suffix))


def empty_log(journal: Path) -> None:
    """Move the content of a journal's log into the journal, and remove the log; a damaged journal loses the log."""
    with contextlib.suppress(sqlite3.DatabaseError), contextlib.closing(sqlite3.connect(journal)) as db:
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    for suffix in ("-wal", "-shm"):
        journal.with_name(journal.name + suffix).unlink(missing_ok=True)
