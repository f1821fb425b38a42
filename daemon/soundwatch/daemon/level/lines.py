"""Lines of levels: of a second, a minute, and the longer periods that the journal stores.

Conventions: as in `events/level_schema.py`; levels are rounded to a tenth.
Does not: measure (`meter.py`, `periods.py`), or number or write lines (`journal/journal.py`).
"""

from __future__ import annotations

from typing import Any

from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.events.level_schema import LevelLine, LevelPeriodLine
from soundwatch.daemon.events.schema import UNNUMBERED
from soundwatch.daemon.level.bands import NOMINAL_HZ
from soundwatch.daemon.level.meter import SecondLevel, decibels
from soundwatch.daemon.level.periods import DAY_PARTS, LevelSums, Period, day_evening_night

EXCEEDED: tuple[tuple[str, float], ...] = (("l10_db", 0.1), ("l50_db", 0.5), ("l90_db", 0.9))


def second_line(second: SecondLevel, encoder: LineEncoder, end_unix_ns: int, offset_db: float | None) -> LevelLine:
    """Return the line of one second."""
    return LevelLine(
        time=format_utc(end_unix_ns),
        node=encoder.node,
        source=encoder.source.name,
        calibrated=offset_db is not None,
        coverage=round(second.coverage, 3),
        laeq_db=rounded_db(second.a, offset_db),
        lceq_db=rounded_db(second.c, offset_db),
        lzeq_db=rounded_db(second.z, offset_db),
        lafmax_db=rounded_db(second.fast_max, offset_db),
        lasmax_db=rounded_db(second.slow_max, offset_db),
    )


def minute_line(period: Period, encoder: LineEncoder, offset_db: float | None) -> LevelLine:
    """Return the line of one minute."""
    return LevelLine(
        time=format_utc(period.end_unix_ns),
        node=encoder.node,
        source=encoder.source.name,
        period="1min",
        calibrated=offset_db is not None,
        coverage=round(period.coverage, 3),
        **_levels(period.sums, offset_db),
    )


def period_line(period: Period, encoder: LineEncoder, end_unix_ns: int, offset_db: float | None) -> LevelPeriodLine:
    """Return the line of a longer period; `end_unix_ns` is the end of what was measured, if the period goes on."""
    assert period.kind != "1min"
    parts: dict[str, Any] = {}
    if period.kind == "day":
        for name, sums in zip(DAY_PARTS, period.parts, strict=True):
            parts[f"l{name}_db"] = rounded_db(sums.mean(sums.a), offset_db) if sums.measured_s else None
        weighted = day_evening_night(period.parts)
        parts["lden_db"] = None if weighted is None else rounded_db(weighted, offset_db)
    return LevelPeriodLine(
        seq=UNNUMBERED,
        time=format_utc(min(period.end_unix_ns, end_unix_ns)),
        node=encoder.node,
        source=encoder.source.name,
        period=period.kind,
        start=format_utc(period.start_unix_ns),
        calibrated=offset_db is not None,
        coverage=round(period.coverage, 4),
        **_levels(period.sums, offset_db),
        **parts,
    )


def rounded_db(mean_square: float, offset_db: float | None) -> float | None:
    """Return a level in decibels, rounded to a tenth."""
    level_db = decibels(mean_square, offset_db or 0.0)
    return None if level_db is None else round(level_db, 1)


def _levels(sums: LevelSums, offset_db: float | None) -> dict[str, Any]:
    """Return the levels that all periods have, by key."""
    levels: dict[str, Any] = {
        "laeq_db": rounded_db(sums.mean(sums.a), offset_db),
        "lceq_db": rounded_db(sums.mean(sums.c), offset_db),
        "lzeq_db": rounded_db(sums.mean(sums.z), offset_db),
        "lafmax_db": rounded_db(sums.fast_max, offset_db),
        "lasmax_db": rounded_db(sums.slow_max, offset_db),
    }
    for key, share in EXCEEDED:
        exceeded_db = sums.exceeded_db(share)
        levels[key] = None if exceeded_db is None else round(exceeded_db + (offset_db or 0.0), 1)
    if len(sums.bands):
        levels["bands_db"] = {
            name: rounded_db(sums.mean(energy), offset_db)
            for name, energy in zip(NOMINAL_HZ, sums.bands.tolist(), strict=False)
        }
    return levels
