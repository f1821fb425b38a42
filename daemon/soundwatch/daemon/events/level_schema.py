"""Lines of the type `level`: sound levels of a second or a longer period; a part of `events/schema.py`.

Conventions: as in `events/schema.py`. Levels are decibels: re 20 micropascals where `calibrated`, else
relative to full scale. A level of digital silence is null.
Does not: make lines (`level/tap.py`).
"""

from __future__ import annotations

from typing import Literal

import msgspec

from soundwatch.daemon.events.line_head import NumberedLine, UnnumberedLine


class LevelLine(UnnumberedLine, frozen=True, kw_only=True):
    """Levels of the second or minute that ends at `time`; the journal never stores this line, so it has no number."""

    type: Literal["level"] = "level"
    source: str
    period: Literal["1s", "1min"] = "1s"
    calibrated: bool
    coverage: float
    laeq_db: float | None
    lceq_db: float | None
    lzeq_db: float | None
    lafmax_db: float | None
    lasmax_db: float | None
    l10_db: float | msgspec.UnsetType | None = msgspec.UNSET
    l50_db: float | msgspec.UnsetType | None = msgspec.UNSET
    l90_db: float | msgspec.UnsetType | None = msgspec.UNSET
    bands_db: dict[str, float | None] | msgspec.UnsetType = msgspec.UNSET


class LevelPeriodLine(NumberedLine, frozen=True, kw_only=True):
    """Levels of a quarter of an hour, an hour or a day that began at `start`."""

    type: Literal["level"] = "level"
    source: str
    period: Literal["15min", "1h", "day"]
    start: str
    calibrated: bool
    coverage: float
    laeq_db: float | None
    lceq_db: float | None
    lzeq_db: float | None
    lafmax_db: float | None
    lasmax_db: float | None
    l10_db: float | None
    l50_db: float | None
    l90_db: float | None
    bands_db: dict[str, float | None] | msgspec.UnsetType = msgspec.UNSET
    lday_db: float | msgspec.UnsetType | None = msgspec.UNSET
    levening_db: float | msgspec.UnsetType | None = msgspec.UNSET
    lnight_db: float | msgspec.UnsetType | None = msgspec.UNSET
    lden_db: float | msgspec.UnsetType | None = msgspec.UNSET
