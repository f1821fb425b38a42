"""Copy the readable part of a damaged journal into a new one.

Conventions: rows are read by number in ranges; a range with an unreadable page is halved until single rows remain. A
row counts as readable if its line agrees with it (`journal/file/line_check.py`). Rows that cannot be read are counted.
Columns are read by place, since the damage may have changed their names.
Rule for a damaged first page, which holds the schema: it is replaced, in a copy, by the first page of a new journal,
whose tables have the same root pages.
Source: sqlite.org/fileformat2.html.
Does not: repair the damaged file, which stays as it is.
"""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from soundwatch.daemon.journal.file.line_check import is_line
from soundwatch.daemon.journal.file.sqlite import PAGE_BYTES, configure_database

RANGE_ROWS: Final = 1000
LEAST_LINE_BYTES: Final = 50  # no line of the schema is shorter
_COLUMNS: Final = {
    "lines": 7,
    "cursors": 3,
    "labels": 3,
    "identity": 1,
    "ages": 2,
    "clip_folders": 1,
    "deleted": 1,
    "runtime": 2,
}


@dataclass(frozen=True, slots=True)
class SalvageResult:
    """Outcome of a salvage.

    Attributes:
        lines: Number of lines that were copied.
        unreadable_lines: Number of lines that could not be read.
        last_seq: Highest number that the damaged journal is known to have given; 0 where none is known.
    """

    lines: int
    unreadable_lines: int
    last_seq: int


def salvage(damaged: Path, db: sqlite3.Connection) -> SalvageResult:
    """Copy the readable rows of a damaged journal into a new, empty one.

    Raises:
        sqlite3.Error: The new journal cannot be written.
    """
    if not damaged.stat().st_size:
        return SalvageResult(0, 0, 0)
    with contextlib.closing(_connect(damaged)) as source:
        if _has_schema(source):
            return _copy(source, damaged, db)
    with _with_new_first_page(damaged) as patched, contextlib.closing(_connect(patched)) as source:
        return _copy(source, patched, db) if _has_schema(source) else SalvageResult(0, 0, 0)


def _connect(path: Path) -> sqlite3.Connection:
    db = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True)
    db.execute("PRAGMA busy_timeout = 2000")
    return db


def _has_schema(db: sqlite3.Connection) -> bool:
    try:
        found = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except (sqlite3.DatabaseError, UnicodeDecodeError):  # the second of a message that names what is damaged
        return False
    return {"lines", "cursors", "labels"} <= found


@contextlib.contextmanager
def _with_new_first_page(damaged: Path) -> Iterator[Path]:
    """Give the path of a copy of a file with the first page of a new journal."""
    patched, fresh = (damaged.with_name(f"{damaged.name}.{suffix}") for suffix in ("copy", "fresh"))
    try:
        with contextlib.closing(sqlite3.connect(fresh)) as db:
            configure_database(db, writing=True)
            db.execute("PRAGMA journal_mode = DELETE")
        shutil.copyfile(damaged, patched)
        patched.chmod(0o600)
        page = bytearray(fresh.read_bytes()[:PAGE_BYTES])
        page[28:32] = (damaged.stat().st_size // PAGE_BYTES).to_bytes(4, "big")  # size of the database in pages
        page[32:40] = bytes(8)  # no list of free pages
        with patched.open("r+b") as file:
            file.write(page)
        yield patched
    finally:
        for path in (patched, fresh):
            for suffix in ("", "-wal", "-shm", "-journal"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)


def _copy(source: sqlite3.Connection, path: Path, db: sqlite3.Connection) -> SalvageResult:
    largest_rows = path.stat().st_size // LEAST_LINE_BYTES
    last_seq = _number(source, "SELECT seq FROM sqlite_sequence WHERE name = 'lines'")
    last_seq = max(last_seq, _number(source, "SELECT MAX(attempted) FROM cursors"))
    last_seq = max(last_seq, _number(source, "SELECT rowid FROM lines ORDER BY rowid DESC LIMIT 1"))
    first_seq = _number(source, "SELECT rowid FROM lines ORDER BY rowid LIMIT 1")
    first_seq = max(1, first_seq or _number(source, "SELECT first_seq FROM runtime"), last_seq - largest_rows)
    lines, last_read = 0, 0
    with db:
        for row in _rows(source, "lines", first_seq, last_seq):
            if not is_line(row):
                continue
            lines += db.execute("INSERT OR IGNORE INTO lines VALUES (?, ?, ?, ?, ?, ?, ?)", row).rowcount
            last_read = row[0]
        for table in ("cursors", "labels", "ages", "clip_folders", "deleted"):
            columns = ", ".join("?" * _COLUMNS[table])
            for row in _rows(source, table, 1, max(last_seq, _number(source, f"SELECT MAX(rowid) FROM {table}"))):  # noqa: S608
                with contextlib.suppress(sqlite3.IntegrityError):  # a row of another kind, by the damage
                    db.execute(f"INSERT OR REPLACE INTO {table} VALUES ({columns})", row)  # noqa: S608
        db.execute("DELETE FROM deleted WHERE seq IN (SELECT seq FROM lines)")  # read from another table's page
        run_s = max((row[0] for row in _rows(source, "runtime", 1, 1) if isinstance(row[0], float)), default=0.0)
        db.execute("UPDATE runtime SET run_s = ?", (run_s,))
        last_seq = max(last_seq, last_read)
        identity = next((row[0] for row in _rows(source, "identity", 1, 1) if isinstance(row[0], str)), None)
        if identity is not None and last_seq:  # numbers continue, so the journal is the same one for its readers
            db.execute("UPDATE identity SET id = ?", (identity,))
        set_last_seq(db, last_seq)
    deleted = _number(db, f"SELECT count(*) FROM deleted WHERE seq >= {first_seq}")  # noqa: S608  # a number
    return SalvageResult(lines, max(0, last_seq - first_seq + 1 - lines - deleted), last_seq)


def set_last_seq(db: sqlite3.Connection, last_seq: int) -> None:
    """Let the next line have the number after `last_seq`, in an open transaction."""
    db.execute("DELETE FROM sqlite_sequence WHERE name = 'lines'")
    db.execute("INSERT INTO sqlite_sequence VALUES ('lines', ?)", (last_seq,))


def _number(db: sqlite3.Connection, query: str) -> int:
    """Return the first value of a query; 0 where the file does not give one."""
    try:
        found = db.execute(query).fetchone()
    except sqlite3.DatabaseError:
        return 0
    return found[0] if found and isinstance(found[0], int) and 0 <= found[0] < 1 << 62 else 0


def _rows(db: sqlite3.Connection, table: str, first: int, last: int) -> Iterator[tuple[Any, ...]]:
    """Yield the readable rows with numbers in a range, in order."""
    ranges = [(start, min(start + RANGE_ROWS - 1, last)) for start in range(first, last + 1, RANGE_ROWS)][::-1]
    query = f"SELECT * FROM {table} NOT INDEXED WHERE rowid BETWEEN ? AND ? ORDER BY rowid"  # noqa: S608
    while ranges:
        start, end = ranges.pop()
        try:
            rows = db.execute(query, (start, end)).fetchall()
            yield from (row for row in rows if len(row) == _COLUMNS[table] and row[0] is not None)
        except sqlite3.DatabaseError as error:
            if "no such table" in str(error):
                return
            if start < end:
                middle = (start + end) // 2
                ranges += [(middle + 1, end), (start, middle)]
