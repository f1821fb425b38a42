"""An SQLite file as a journal wants it: its tables, its log, its room, and what counts as damage.

Conventions: as in `journal/store.py`, whose other half this is.
Source: sqlite.org/wal.html, sqlite.org/pragma.html.
"""

from __future__ import annotations

import contextlib
import secrets
import shutil
import sqlite3
from pathlib import Path
from typing import Final

FORMAT: Final = 1
PAGE_BYTES: Final = 4096
LOG_PAGES: Final = 100
RESERVED_BYTES: Final = 1_000_000  # more than the log's pages
IDENTITY_BYTES: Final = 8

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
_IDENTITY: Final = "CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL)"


def configure_database(db: sqlite3.Connection, writing: bool) -> None:
    """Set an open file up, and make its tables where there are none."""
    db.execute("PRAGMA busy_timeout = 2000")
    if not writing:
        db.execute("PRAGMA query_only = ON")
        return
    db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    if (found := db.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
        raise corruption_errors(str(found))
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}")
    if not db.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
        db.executescript(f"BEGIN; {_TABLES} PRAGMA user_version = {FORMAT}; COMMIT;")
    with db:  # earlier releases had no such table
        db.execute(_IDENTITY)
        new = (secrets.token_hex(IDENTITY_BYTES),)
        db.execute("INSERT INTO identity SELECT ? WHERE NOT EXISTS (SELECT 1 FROM identity)", new)


def preallocate(db: sqlite3.Connection) -> None:
    """Let the file and its log grow by `RESERVED_BYTES`."""
    with db:
        db.execute("INSERT INTO room VALUES (zeroblob(?))", (RESERVED_BYTES,))
    with db:
        db.execute("DELETE FROM room")
    db.execute("PRAGMA wal_checkpoint(RESTART)")


def free_bytes(path: Path | str) -> int:
    """What the disk of a file has to give; nothing where that cannot be asked."""
    with contextlib.suppress(OSError):
        return shutil.disk_usage(Path(path).parent).free
    return 0


def corruption_errors(found: str) -> sqlite3.DatabaseError:
    """What SQLite itself raises only when it comes upon the damage."""
    error = sqlite3.DatabaseError(found)
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    return error


def is_corruption(error: sqlite3.DatabaseError) -> bool:
    """Whether an error says that the file is not what it should be, rather than that it cannot be reached."""
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
