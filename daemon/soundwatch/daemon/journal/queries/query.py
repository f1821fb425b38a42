"""Queries for lines by time, class, source and type.

Conventions: lines come oldest first. A moment is a time with its zone, an age such as 10m, or `#SEQ`.
Does not: write to the journal.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.text.messages import did_you_mean
from soundwatch.daemon.core.time.clock import DAY_S, format_datetime
from soundwatch.daemon.events.schema import LINE_TYPES
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.store import JournalStore

PAGE_LINES: Final = 500
UNITS_S: Final = {"s": 1, "m": 60, "h": 3600, "d": DAY_S, "w": 7 * DAY_S}
LAST_SEQ: Final = 2**63 - 1  # of SQLite

_HELLOS: Final = 20  # streams whose classes are read
_AGE: Final = re.compile(r"(\d+)\s*([smhdw])")
_NUMBER: Final = re.compile(r"#(\d{1,100})")


class _Classes(msgspec.Struct):
    """Part of a `hello` line."""

    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LineFilter:
    """Conditions of a query; an empty one holds for all lines.

    Attributes:
        after_seq: Lines with a higher number.
        since: Lines with this `time` or a later one.
        until: Lines with an earlier `time`.
        classes: Lines of these classes.
        sources: Lines of these sources.
        types: Lines of these types.
    """

    after_seq: int = 0
    since: str = ""
    until: str = ""
    classes: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    types: tuple[str, ...] = ()

    @property
    def condition(self) -> tuple[str, list[Any]]:
        """The conditions in SQL, and their values."""
        parts, values = ["time >= ?"], list[Any]([self.since])
        if self.until:
            parts.append("time < ?")
            values.append(self.until)
        for column, chosen in (("class", self.classes), ("source", self.sources), ("type", self.types)):
            if chosen:
                parts.append(f"{column} IN ({', '.join('?' * len(chosen))})")
                values += chosen
        return " AND ".join(parts), values


def parse_filter(
    now: datetime,
    since: str | None = None,
    until: str | None = None,
    classes: Sequence[str] = (),
    sources: Sequence[str] = (),
    types: Sequence[str] = (),
) -> LineFilter:
    """Parse the conditions of a command.

    Args:
        now: Origin of ages.
        since: A time, an age, or `#SEQ`.
        until: A time or an age.
        classes: As in `LineFilter`.
        sources: As in `LineFilter`.
        types: As in `LineFilter`.

    Raises:
        ConfigError: A text is not a moment, or no time is between the two.
    """
    number = _NUMBER.fullmatch(since or "")
    begin = "" if since is None or number else _moment(since, now)
    end = "" if until is None else _moment(until, now)
    if begin and end and begin >= end:
        raise ConfigError(f"No time is between --since {since} and --until {until}. Exchange them, or give others.")
    return LineFilter(
        after_seq=min(int(number[1]), LAST_SEQ) if number else 0,
        since=begin,
        until=end,
        classes=tuple(classes),
        sources=tuple(sources),
        types=tuple(types),
    )


def _moment(text: str, now: datetime) -> str:
    """Parse a moment; return the time as in lines."""
    try:
        if age := _AGE.fullmatch(text):
            return format_datetime(now - timedelta(seconds=int(age[1]) * UNITS_S[age[2]]))
        named = datetime.fromisoformat(text.upper())  # RFC 3339 has z and t, too
        if named.tzinfo is None:
            raise ConfigError(f"{text} has no zone; add Z for UTC, or an offset such as +02:00.")
        return format_datetime(named)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is no moment; a time such as 2026-11-22T08:15:00Z, an age such as 90s, 10m, 2h, 7d or 4w, or "
            "#SEQ, the number of a line, was expected."
        ) from error
    except OverflowError:
        raise ConfigError(f"{text} is before the year 1 or after the year 9999. Give another time or age.") from None


def check_names(store: JournalStore, wanted: LineFilter) -> None:
    """Refuse a class, source or type that the journal does not contain.

    Args:
        store: The journal. Its classes are those of its lines and those that its streams can report.
        wanted: The conditions.

    Raises:
        ConfigError: A name is unknown; the message has the nearest known name.
    """
    check_types(wanted)
    if wanted.classes:
        _check_known("class", wanted.classes, _known_classes(store))
    if wanted.sources:
        _check_known("source", wanted.sources, known_sources(store))


def check_types(wanted: LineFilter) -> None:
    """Refuse a type that no line has.

    Raises:
        ConfigError: A type is unknown; the message has the nearest known type.
    """
    _check_known("type", wanted.types, LINE_TYPES)


def known_sources(store: JournalStore) -> set[str]:
    """Return the names of the sources that lines name."""
    return {source for (source,) in store.query("SELECT DISTINCT source FROM lines WHERE source IS NOT NULL")}


def _known_classes(store: JournalStore) -> set[str]:
    found = store.query("SELECT DISTINCT class FROM lines WHERE class IS NOT NULL")
    return model_classes(store).union(label for (label,) in found)


def model_classes(store: JournalStore) -> set[str]:
    """Return the classes that the latest streams can report."""
    found = set[str]()
    for (line,) in store.query("SELECT line FROM lines WHERE type = 'hello' ORDER BY seq DESC LIMIT ?", _HELLOS):
        with contextlib.suppress(msgspec.MsgspecError, UnicodeDecodeError):  # a damaged line
            found.update(msgspec.json.decode(line, type=_Classes).classes)
    return found


def _check_known(option: str, names: Sequence[str], known: Collection[str]) -> None:
    for name in names:
        if known and name not in known:
            hint = did_you_mean(name, known)
            raise ConfigError(f"--{option} {name} is unknown; {hint}known: {', '.join(sorted(known))}.")


def read_lines(store: JournalStore, wanted: LineFilter) -> Iterator[JournalEntry]:
    """Yield the lines of the journal that match."""
    seq = wanted.after_seq
    while page := _page(store, wanted, seq):
        yield from page
        seq = page[-1].seq


def read_last_lines(store: JournalStore, wanted: LineFilter, count: int) -> list[JournalEntry]:
    """Return the last lines that match."""
    condition, values = wanted.condition
    query = f"SELECT seq, line FROM lines WHERE seq > ? AND {condition} ORDER BY seq DESC LIMIT ?"  # noqa: S608
    return [
        JournalEntry(number, line) for number, line in reversed(store.query(query, wanted.after_seq, *values, count))
    ]


def _page(store: JournalStore, wanted: LineFilter, seq: int) -> list[JournalEntry]:
    """Return the next lines after number `seq`, few enough not to delay the writer."""
    condition, values = wanted.condition
    query = f"SELECT seq, line FROM lines WHERE seq > ? AND {condition} ORDER BY seq LIMIT ?"  # noqa: S608
    return [JournalEntry(number, line) for number, line in store.query(query, seq, *values, PAGE_LINES)]
