"""A journal of two weeks with known events, gaps and streams."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec

from soundwatch.daemon.events.schema import EventLine, GapLine, HelloLine, Line, StatsLine
from soundwatch.daemon.journal.store import JournalStore
from support.journal_factory import event, hello, row

FIRST = datetime(2024, 11, 11, tzinfo=UTC)  # a Monday
NOW = FIRST + timedelta(days=16)


def utc(moment: datetime) -> str:
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def at(day: int, hour: float) -> datetime:
    return FIRST + timedelta(days=day, hours=hour)


def hello_at(moment: datetime) -> HelloLine:
    return msgspec.structs.replace(hello("siren", "dog_bark"), time=utc(moment), stream_start=utc(moment))


def stats_at(begin: datetime, moment: datetime, lost_s: float = 0.0, *, final: bool = False) -> StatsLine:
    duration_s = (moment - begin).total_seconds()
    return StatsLine(
        seq=0, time=utc(moment), node="balcony", source="mic0", windows=round(duration_s), duration_s=duration_s,
        lost_s=lost_s, coverage=1 - lost_s / duration_s, final=final,
    )  # fmt: skip


def gap_at(begin: datetime, seconds: float) -> GapLine:
    return GapLine(
        seq=0, time=utc(begin + timedelta(seconds=seconds)), node="balcony", source="mic0", start=utc(begin),
        duration_s=seconds, reason="capture",
    )  # fmt: skip


def event_lines(number: int, moment: datetime, seconds: float, **changes: Any) -> list[EventLine]:
    """Return the start and the end of an event."""
    id_ = f"01JD8Z{number:020d}"
    start = msgspec.structs.replace(event(id_, type_="start", time=utc(moment)), **changes)
    end_time = utc(moment + timedelta(seconds=seconds))
    end = msgspec.structs.replace(start, type="end", time=end_time, offset=end_time, duration_s=seconds, reason="decay")
    return [start, end]


def busy_lines() -> list[Line]:
    """Two weeks: one siren on each day of the first, two a day and a long bark in the second; one hour lost."""
    begin = FIRST
    lines: list[Line] = [hello_at(begin)]
    number = 0
    for day in range(14):
        for hour in range(24):
            if hour == 8:
                for minute in range(1 if day < 7 else 2):
                    number += 1
                    lines += event_lines(number, at(day, 8 + minute / 60), 10.0, level_dbfs=-30.0 + day)
            if day == 13 and hour == 20:
                lines.append(gap_at(at(13, 19), 3600.0))
            lines.append(stats_at(begin, at(day, hour + 1), 3600.0 if (day, hour) >= (13, 20) else 0.0))
    number += 1
    bark = event_lines(number, at(13, 23), 300.0, class_="dog_bark")
    more = event_lines(number + 1, at(13, 23) + timedelta(seconds=300), 60.0, class_="dog_bark", continues=bark[0].id)
    lines[-1:-1] = [*bark, *more]
    lines.append(stats_at(begin, at(14, 6), 3600.0, final=True))
    return lines


def write_busy_journal(path: Path) -> JournalStore:
    """Return an open journal with the two weeks."""
    store = JournalStore(path)
    store.commit([row(seq, line) for seq, line in enumerate(busy_lines(), 1)])
    return store
