"""The check of a stored line against its row, and what a row keeps of its line beyond the line's removal.

Conventions: SQLite has no checksums, so a flipped bit in a line is not seen by its own checks. A row is sound if its
line is JSON with the number, the time and the type of the row.
"""

from __future__ import annotations

import sqlite3
from typing import Any

import msgspec


class _Identified(msgspec.Struct):
    """Part of a line that the row repeats."""

    seq: int
    time: str
    type: str


def is_line(row: tuple[Any, ...]) -> bool:
    """Return True if a row of the table `lines` is sound."""
    seq, time, type_, *names, line = row
    if not (isinstance(time, str) and isinstance(type_, str) and isinstance(line, bytes)):
        return False
    if not all(name is None or isinstance(name, str) for name in names):
        return False
    try:
        found = msgspec.json.decode(line, type=_Identified)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return False
    return (found.seq, found.time, found.type) == (seq, time, type_) and line.endswith(b"\n")


def unsound_line(db: sqlite3.Connection) -> int | None:
    """Return the number of the first row that is not sound; None where all are."""
    rows = db.execute("SELECT seq, time, type, source, class, id, line FROM lines")
    return next((row[0] for row in rows if not is_line(row)), None)
