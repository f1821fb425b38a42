"""Event lines of a week, for benchmarks/rules_week.py."""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from soundwatch.daemon.core.records.event import EventType
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine

SOURCES: Final = ("street", "yard", "door")
HOUR_S: Final = 3600.0
WEEK_S: Final = 7 * 24 * HOUR_S
BEGIN_S: Final = datetime(2026, 11, 16, tzinfo=UTC).timestamp()
CLASSES: Final = {"dog_bark": 40, "siren": 12, "car_horn": 12, "drilling": 16, "jackhammer": 14, "gun_shot": 2}


def event_lines(events: int, seed: int) -> Iterator[EventLine]:
    """Yield start and end of each event."""
    chance = random.Random(seed)  # noqa: S311  # not for secrets
    for number in range(events):
        begin_s, duration_s = chance.uniform(0, WEEK_S - 60), round(chance.uniform(1, 40), 3)
        class_ = chance.choices(tuple(CLASSES), tuple(CLASSES.values()))[0]
        source, level_dbfs = chance.choice(SOURCES), round(chance.gauss(-35, 8), 1)
        yield _line("start", number, source, class_, level_dbfs, begin_s)
        yield _line("end", number, source, class_, level_dbfs, begin_s, duration_s)


def _line(
    type_: EventType,
    number: int,
    source: str,
    class_: str,
    level_dbfs: float,
    begin_s: float,
    duration_s: float | None = None,
) -> EventLine:
    return EventLine(
        type=type_,
        seq=UNNUMBERED,
        id=f"{number:026d}",
        time=_time(begin_s + (duration_s or 0.0)),
        node="edge1",
        source=source,
        class_=class_,
        class_id=tuple(CLASSES).index(class_),
        score=0.9,
        peak_score=0.9,
        level_dbfs=min(level_dbfs, 0.0),
        onset=_time(begin_s),
        offset=None if duration_s is None else _time(begin_s + duration_s),
        duration_s=duration_s,
        reason=None if duration_s is None else "decay",
        latency_ms=10,
        model="m",
        provider="p",
    )


def _time(at_s: float) -> str:
    return format_utc(round((BEGIN_S + at_s) * 1e9))


def week_seconds(line: EventLine) -> float:
    return datetime.fromisoformat(line.time).timestamp() - BEGIN_S
