"""Changes of the journal's schema between releases, one step for each format.

Conventions: `PRAGMA user_version` is the format of a file. Before the first step the file is copied, with its format in
the name of the copy. An incomplete copy always has one name, and a complete copy is used again, so kills leave one.
A step and its new number are written together or not at all, so a kill between them loses nothing. A reader does not
change a file, and reads the earlier formats too.
"""

from __future__ import annotations

import contextlib
import glob
import os
import shutil
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import StoreError

FORMAT: Final = 3
_READING_BYTES: Final = 1 << 16  # of the shared memory that SQLite makes beside a file, and some more

# Tables that some releases of format 1 already made.
LATER_TABLES: Final = """
CREATE TABLE IF NOT EXISTS identity (id TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS ages (seq INTEGER PRIMARY KEY, run_s REAL NOT NULL);
CREATE TABLE IF NOT EXISTS clip_folders (path TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS runtime (run_s REAL NOT NULL, first_seq INTEGER NOT NULL);
"""
# Numbers of the lines that were deleted on request.
DELETED_TABLE: Final = "CREATE TABLE IF NOT EXISTS deleted (seq INTEGER PRIMARY KEY);"
STEPS: Final = {1: LATER_TABLES, 2: DELETED_TABLE}
# Equal for two files with equal content: in earlier formats lines are only added or removed.
CONTENT: Final = (
    "SELECT seq FROM sqlite_sequence WHERE name = 'lines'",
    "SELECT min(seq), count(*) FROM lines",
    "SELECT * FROM cursors",
    "SELECT * FROM labels",
)


def copy_before_migration(path: Path) -> Path | None:
    """Copy a file of an earlier format, with mode 0600; return the copy, None where no migration is due.

    Raises:
        sqlite3.DatabaseError: The file is damaged, or belongs to another program.
        StoreError: The copy cannot be made, as on a full disk.
    """
    if not path.exists() or not path.stat().st_size:
        return None
    with contextlib.closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)) as db:
        found = user_version(db)
        if found not in STEPS:
            return None
        if (complete := _complete_copy(path, found, db)) is not None:
            return complete
        part = path.with_name(f"{path.name}.format-{found}.part")
        try:
            _remove_copy(part)  # of an upgrade that was killed
            os.close(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
            with contextlib.closing(sqlite3.connect(part)) as target:
                db.backup(target)
            return part.rename(free_name(path, f"format-{found}"))
        except (OSError, sqlite3.OperationalError) as error:
            raise opening_error(path, part, error) from error


def _complete_copy(path: Path, format_: int, db: sqlite3.Connection) -> Path | None:
    """Return the copy of an upgrade that was killed; None without one, or where the file has changed since."""
    for copy in sorted(path.parent.glob(f"{glob.escape(path.name)}.format-{format_}-*T*"), reverse=True):
        if copy.name.endswith("-journal") or copy.with_name(f"{copy.name}-journal").exists():
            continue  # incomplete
        with (
            contextlib.suppress(sqlite3.Error),
            contextlib.closing(sqlite3.connect(f"{copy.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as found,
        ):
            if all(found.execute(query).fetchall() == db.execute(query).fetchall() for query in CONTENT):
                return copy
    return None


def _remove_copy(copy: Path) -> None:
    copy.unlink(missing_ok=True)
    copy.with_name(f"{copy.name}-journal").unlink(missing_ok=True)


def _room_advice(path: Path) -> str:
    """Return what to do about a full disk, on which SQLite cannot even read; empty for another disk."""
    with contextlib.suppress(OSError):
        if shutil.disk_usage(path.absolute().parent).free < _READING_BYTES:
            return f" Its disk is full, and reading needs {_READING_BYTES} bytes there: free some, or copy the file."
    return ""


def opening_error(path: Path | str, copy: Path | None, error: sqlite3.Error | OSError) -> StoreError:
    """Explain why a file cannot be opened; one that was to be upgraded loses its copy, which would fill the disk."""
    if copy is not None:
        _remove_copy(copy)
    elif _format_in_header(Path(path)) not in STEPS:
        return StoreError(f"{path} cannot be opened as a journal: {error}.{_room_advice(Path(path))}")
    return StoreError(
        f"{path} is a journal of an earlier release, and cannot be copied and upgraded: {error}. It is unchanged. Free "
        f"{2 * Path(path).stat().st_size} bytes on its disk, or start with --journal memory.",
        final=True,
    )


def migrate(db: sqlite3.Connection) -> None:
    """Change a file to the format of this release, step by step.

    Raises:
        sqlite3.DatabaseError: The file cannot be written.
    """
    while (found := user_version(db)) in STEPS:
        db.executescript(f"BEGIN IMMEDIATE; {STEPS[found]} PRAGMA user_version = {found + 1}; COMMIT;")


def user_version(db: sqlite3.Connection) -> int:
    """Return the format of a file."""
    return int(db.execute("PRAGMA user_version").fetchone()[0])


def _format_in_header(path: Path) -> int | None:
    """Read the format of a file that SQLite cannot open, as on a disk without room for its index of the log."""
    with contextlib.suppress(OSError), path.open("rb") as file:
        header = file.read(64)
        return int.from_bytes(header[60:], "big") if len(header) == 64 else None
    return None


def free_name(path: Path, kind: str) -> Path:
    """Return an unused name next to a file."""
    stamp = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    found, number = path.with_name(f"{path.name}.{kind}-{stamp}"), 1
    while found.exists():
        number += 1
        found = path.with_name(f"{path.name}.{kind}-{stamp}-{number}")
    return found
