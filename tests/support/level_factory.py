"""Levels as the meter publishes them (seconds) and appends them to the journal (longer periods)."""

from __future__ import annotations

from datetime import UTC, timedelta
from typing import Any

import msgspec

from soundwatch.daemon.events.level_schema import LevelLine, LevelPeriodLine
from support.noon_zone import noon_now


def level_line(laeq_db: float | None, source: str = "mic0", *, calibrated: bool = False) -> LevelLine:
    return LevelLine(
        time="2026-11-22T08:15:02.000Z",
        node="edge1",
        source=source,
        calibrated=calibrated,
        coverage=1.0,
        laeq_db=laeq_db,
        lceq_db=laeq_db,
        lzeq_db=laeq_db,
        lafmax_db=laeq_db,
        lasmax_db=laeq_db,
    )


def period_line(start: str, time: str, laeq_db: float | None, **changes: Any) -> LevelPeriodLine:
    """A line of a quarter of an hour: LAFmax is 12 dB over LAeq, L90 8 dB below."""

    def above(db: float) -> float | None:
        return None if laeq_db is None else round(laeq_db + db, 1)

    line = LevelPeriodLine(
        seq=0, time=time, node="balcony", source="mic0", period="15min", start=start, calibrated=False, coverage=1.0,
        laeq_db=laeq_db, lceq_db=above(6), lzeq_db=above(9), lafmax_db=above(12), lasmax_db=above(8), l10_db=above(3),
        l50_db=above(-3), l90_db=above(-8),
    )  # fmt: skip
    return msgspec.structs.replace(line, **changes)


def quarter_of_today(number: int, laeq_db: float | None, **changes: Any) -> LevelPeriodLine:
    """Return the levels of a quarter of an hour of the present day, in the zone of the browser and of the site."""
    midnight = noon_now().replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = (
        (midnight.astimezone(UTC) + timedelta(minutes=15 * place)).isoformat(timespec="milliseconds")
        for place in (number, number + 1)
    )
    return period_line(start.replace("+00:00", "Z"), end.replace("+00:00", "Z"), laeq_db, **changes)
