"""Levels of minutes, quarters of an hour, hours and days, from the levels of seconds.

Conventions: mean squares of full scale 1, as in `meter.py`; times are UTC in nanoseconds. A second belongs to the
period in which it begins. Periods begin at the full minute, quarter, hour and day of local time; a day of
the change of clocks has 23 or 25 hours, and an hour is shorter where the clock changes by less.
Rule for means: energies are added, so a period's mean level is that of its whole signal. Each period is the sum of the
next shorter ones.
Rule for percentiles: the level LAF, eight times a second, is counted in steps of 0.1 dB; L10 is exceeded 10 % of the
time.
Rule for the day: Lday is from 07:00 to 19:00, Levening from 19:00 to 23:00, Lnight the rest of the same calendar day;
Lden weights their hours with 0, 5 and 10 dB (directive 2002/49/EC, annex I), and needs all three.
Rule for lost sound: a period's duration is what was measured; a period without sound does not exist.
Does not: make lines (`lines.py`).
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.level.meter import SecondLevel

PeriodKind = Literal["1min", "15min", "1h", "day"]
PERIOD_KINDS: Final[tuple[PeriodKind, ...]] = ("1min", "15min", "1h", "day")
LOWEST_DB: Final = -150.0
STEPS_A_DB: Final = 10
STEPS: Final = 1600
DAY_PARTS: Final = ("day", "evening", "night")
_PART_HOURS: Final = (12, 4, 8)
_PART_PENALTIES_DB: Final = (0.0, 5.0, 10.0)
_FIXED_S: Final = {"1min": 60, "15min": 900, "1h": 3600}


def _no_counts() -> NDArray[np.int32]:
    return np.zeros(STEPS, np.int32)


def _no_bands() -> NDArray[np.float64]:
    return np.zeros(0)


@dataclass(frozen=True, slots=True)
class LevelSums:
    """Sums over the measured part of a period.

    Attributes:
        measured_s: Duration of that part.
        a: Mean square times seconds, weighting A.
        c: Mean square times seconds, weighting C.
        z: Mean square times seconds, without weighting.
        fast_max: Maximum of A with the time weighting F.
        slow_max: Maximum of A with the time weighting S.
        counts: (STEPS,), number of samples of LAF in each step.
        bands: (B,), mean square times seconds of each 1/3-octave band; empty where they are not measured.
    """

    measured_s: float = 0.0
    a: float = 0.0
    c: float = 0.0
    z: float = 0.0
    fast_max: float = 0.0
    slow_max: float = 0.0
    counts: NDArray[np.int32] = field(default_factory=_no_counts)
    bands: NDArray[np.float64] = field(default_factory=_no_bands)

    def mean(self, energy: float) -> float:
        """Return the mean square of an energy."""
        return energy / self.measured_s

    def exceeded_db(self, share: float) -> float | None:
        """Return the level LAF that is exceeded for a share of the time, re full scale; None for silence."""
        above = np.cumsum(self.counts[::-1])
        step = STEPS - 1 - int(np.searchsorted(above, share * above[-1]))
        return LOWEST_DB + step / STEPS_A_DB if step > 0 else None


@dataclass(frozen=True, slots=True)
class Period:
    """A period and what was measured of it.

    Attributes:
        kind: Length of the period.
        start_unix_ns: UTC of the start.
        end_unix_ns: UTC of the end.
        sums: Sums over the whole period.
        parts: Sums over day, evening and night; for the kind `day` only.
    """

    kind: PeriodKind
    start_unix_ns: int
    end_unix_ns: int
    sums: LevelSums = field(default_factory=LevelSums)
    parts: tuple[LevelSums, ...] = ()

    @property
    def coverage(self) -> float:
        """Share that was measured; at most 1, since a second may extend past the end."""
        return min(1.0, self.sums.measured_s * SECOND_NS / (self.end_unix_ns - self.start_unix_ns))

    def contains(self, unix_ns: int) -> bool:
        """Return True if a time is in the period."""
        return self.start_unix_ns <= unix_ns < self.end_unix_ns


@dataclass(frozen=True, slots=True)
class PeriodState:
    """The periods of one source that have not ended, one of each kind or None, shortest first."""

    open: tuple[Period | None, ...] = (None,) * len(PERIOD_KINDS)


def add_second(
    state: PeriodState, second: SecondLevel, end_unix_ns: int, zone: tzinfo
) -> tuple[PeriodState, list[Period]]:
    """Add the levels of a second.

    Args:
        state: The open periods.
        second: The levels.
        end_unix_ns: UTC of the end of the second.
        zone: Time zone of the periods.

    Returns:
        The open periods, and those that ended before the second, shortest first.
    """
    start_unix_ns = end_unix_ns - SECOND_NS
    ended: list[Period] = []
    if state.open[0] is not None and not state.open[0].contains(start_unix_ns):
        state, ended = _close(state, start_unix_ns, zone)
    minute = state.open[0] or _period("1min", start_unix_ns, zone)
    minute = replace(minute, sums=add_sums(minute.sums, sums_of(second)))
    return PeriodState((minute, *state.open[1:])), ended


def end_periods(state: PeriodState, zone: tzinfo) -> list[Period]:
    """Return all open periods, as far as they were measured, shortest first."""
    return _close(state, None, zone)[1] if state.open[0] is not None else []


def sums_of(second: SecondLevel) -> LevelSums:
    """Return the sums of one second."""
    duration_s = second.coverage
    levels_db = 10 * np.log10(np.maximum(second.fast, 1e-30))
    steps = np.clip(np.rint((levels_db - LOWEST_DB) * STEPS_A_DB), 0, STEPS - 1).astype(np.int64)
    counts = np.bincount(steps, minlength=STEPS).astype(np.int32)
    energies = (second.a * duration_s, second.c * duration_s, second.z * duration_s)
    bands = np.array(second.bands) * duration_s
    return LevelSums(duration_s, *energies, second.fast_max, second.slow_max, counts, bands)


def add_sums(first: LevelSums, second: LevelSums) -> LevelSums:
    """Add the sums of two stretches of time."""
    return LevelSums(
        first.measured_s + second.measured_s,
        first.a + second.a,
        first.c + second.c,
        first.z + second.z,
        max(first.fast_max, second.fast_max),
        max(first.slow_max, second.slow_max),
        first.counts + second.counts,
        _add_bands(first, second),
    )


def _add_bands(first: LevelSums, second: LevelSums) -> NDArray[np.float64]:
    """Return the energies of the bands that were measured in both; a source may come back with a lower rate."""
    if not first.measured_s or not second.measured_s:
        return first.bands if first.measured_s else second.bands
    common = min(len(first.bands), len(second.bands))
    return first.bands[:common] + second.bands[:common]


def day_evening_night(parts: tuple[LevelSums, ...]) -> float | None:
    """Return the mean square of Lden; None if one of the three parts of the day was not measured."""
    if not all(part.measured_s for part in parts):
        return None
    weights = (hours * 10 ** (db / 10) for hours, db in zip(_PART_HOURS, _PART_PENALTIES_DB, strict=True))
    return sum(weight * part.mean(part.a) for weight, part in zip(weights, parts, strict=True)) / sum(_PART_HOURS)


def _close(state: PeriodState, next_unix_ns: int | None, zone: tzinfo) -> tuple[PeriodState, list[Period]]:
    """End the periods that do not contain the time of the next second, and add each to the next longer one."""
    opened, ended = list(state.open), list[Period]()
    for number, kind in enumerate(PERIOD_KINDS):
        period = opened[number]
        assert period is not None
        if next_unix_ns is not None and period.contains(next_unix_ns):
            break
        ended.append(period)
        opened[number] = None
        if number + 1 < len(PERIOD_KINDS):
            longer = opened[number + 1] or _period(PERIOD_KINDS[number + 1], period.start_unix_ns, zone)
            parts = longer.parts
            if kind == "1h":
                part = _day_part(period.start_unix_ns, zone)
                parts = tuple(
                    add_sums(sums, period.sums) if number == part else sums for number, sums in enumerate(longer.parts)
                )
            opened[number + 1] = replace(longer, sums=add_sums(longer.sums, period.sums), parts=parts)
    return PeriodState(tuple(opened)), ended


def _local(unix_ns: int, zone: tzinfo) -> datetime:
    return datetime.fromtimestamp(unix_ns // SECOND_NS, zone)


def _day_part(unix_ns: int, zone: tzinfo) -> int:
    """Return the index of the part of the day of a time."""
    hour = _local(unix_ns, zone).hour
    return 0 if 7 <= hour < 19 else 1 if 19 <= hour < 23 else 2


def _period(kind: PeriodKind, unix_ns: int, zone: tzinfo) -> Period:
    """Return the empty period of a kind that contains a time."""
    local = _local(unix_ns, zone)
    if kind == "day":
        midnights = [
            datetime(day.year, day.month, day.day, tzinfo=zone)
            for day in (local.date(), local.date() + timedelta(days=1))
        ]
        start_s, end_s = (math.floor(midnight.timestamp()) for midnight in midnights)
        return Period(kind, start_s * SECOND_NS, end_s * SECOND_NS, parts=(LevelSums(),) * len(DAY_PARTS))
    offset, unix_s, length_s = local.utcoffset(), unix_ns // SECOND_NS, _FIXED_S[kind]
    assert offset is not None
    offset_s = int(offset.total_seconds())
    start_s = (unix_s + offset_s) // length_s * length_s - offset_s
    seconds = range(start_s, unix_s + 1)
    if _local(start_s * SECOND_NS, zone).utcoffset() != offset:
        changed_s = seconds[bisect_left(seconds, True, key=lambda s: _local(s * SECOND_NS, zone).utcoffset() == offset)]
        return Period(kind, changed_s * SECOND_NS, (start_s + length_s) * SECOND_NS)
    return Period(kind, start_s * SECOND_NS, (start_s + length_s) * SECOND_NS)
