"""Records of the statistics of a period; the API and `soundwatch digest --format json` encode them as they are.

Conventions: as in `events/schema.py`. An event belongs to the hour in which it was detected, the `time` of its first
line. Durations are of ended events. Lists by hour have one entry for each hour of the local clock, in order.
"""

from __future__ import annotations

from typing import Literal

import msgspec


class HourStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """An hour of the local clock: `local` is its begin with its offset; `coverage` is null before it is known."""

    begin: str
    local: str
    length_s: int
    events: int
    coverage: float | None


class ClassStatistics(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Events of a class, by hour and by source, and in the period before."""

    class_: str
    events: int
    duration_s: float
    previous_events: int
    previous_duration_s: float
    by_hour: tuple[int, ...]
    by_source: dict[str, int]


class SourceStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """Events and coverage of a source; `coverage` is the share of the reported time that was scored."""

    source: str
    events: int
    duration_s: float
    previous_events: int
    previous_duration_s: float
    scored_s: float
    reported_s: float
    coverage: float | None
    previous_coverage: float | None


class LevelStatistics(msgspec.Struct, frozen=True, kw_only=True):
    """LAeq of a source by the hour and of the period, in dB where `calibrated`, else dBFS; null without a level."""

    source: str
    calibrated: bool
    laeq_db: float | None
    by_hour: tuple[float | None, ...]


class NotableEvent(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """An event with its highest level; `duration_s` includes the events that continue it, null while it is active."""

    id: str
    class_: str
    source: str
    onset: str
    local: str
    duration_s: float | None
    peak_score: float
    level_dbfs: float | None
    level_dba: float | None


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a day or a week.

    `end` is the end of the counted time: that of the period, or the present where the period has not ended. The
    comparison covers the period before, up to the same day of the week and time of day. `time_zone` is null for the
    system's. Sources are compared and covered each by itself; `coverage` is that of all of them.
    """

    period: Literal["day", "week"]
    first_day: str
    time_zone: str | None
    begin: str
    end: str
    complete: bool
    previous_begin: str
    previous_end: str
    events: int
    active_events: int
    duration_s: float
    previous_events: int
    previous_duration_s: float
    coverage: float | None
    previous_coverage: float | None
    hours: tuple[HourStatistics, ...]
    classes: tuple[ClassStatistics, ...]
    sources: tuple[SourceStatistics, ...]
    levels: tuple[LevelStatistics, ...]
    longest: NotableEvent | None
    loudest: NotableEvent | None
    quietest: NotableEvent | None
