"""Query for the stored levels of sources.

Conventions: times are text as in lines. The function only reads, and does not decode lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.store import JournalStore

_START: Final = "json_extract(CAST(line AS TEXT), '$.start')"
_CONDITIONS: Final = {
    "since": f"time > ?1 AND {_START} >= ?1",  # a period ends after its start, so the index of times serves
    "until": f"{_START} < ?2",
    "source": "source = ?3",
}
_NAMES: Final = tuple(_CONDITIONS)


def read_levels(
    store: JournalStore, period: str, wanted: Mapping[str, Any], after_seq: int, limit: int
) -> list[JournalEntry]:
    """Read `level` lines, oldest first.

    Args:
        store: The journal.
        period: Length of the periods: `15min`, `1h` or `day`.
        wanted: Earliest start (`since`), end of the range of starts (`until`) and source (`source`), each optional.
        after_seq: Number of the line before the first one.
        limit: Largest number of lines.
    """
    conditions = "".join(f" AND {_CONDITIONS[name]}" for name in wanted)
    # The unary plus keeps SQLite from reading the whole table in the order of its numbers.
    query = (
        f"SELECT seq, line FROM lines WHERE type = 'level'{conditions}"  # noqa: S608
        f" AND json_extract(CAST(line AS TEXT), '$.period') = ?4 AND +seq > ?5 ORDER BY +seq LIMIT ?6"
    )
    values = (*(wanted.get(name) for name in _NAMES), period, after_seq, limit)
    return [JournalEntry(seq, line) for seq, line in store.query(query, *values)]
