"""Days and weeks of the calendar at a place.

Conventions: moments are integers, seconds since 1970 in UTC. A day begins at local midnight; where a change of the
clock skips midnight, at the change. A week begins on Monday. Hours are those of the local clock, so a day has 23 or 25
of them where the clock changes by an hour, and an hour is shorter where the clock changes by less.
Source: PEP 495 for skipped and repeated times.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass
from typing import Final, Literal

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.core.errors import ConfigError

PeriodKind = Literal["day", "week"]
HOUR_S: Final = 3600
DAYS: Final[dict[PeriodKind, int]] = {"day": 1, "week": 7}
FIRST_DAY: Final = datetime.date(1970, 1, 8)
LAST_DAY: Final = datetime.date(2999, 12, 24)
NAMES: Final = {"today": 0, "yesterday": -1}


@dataclass(frozen=True, slots=True)
class Period:
    """A day or a week of the calendar.

    Attributes:
        kind: Day or week.
        first_day: The day, or the Monday of the week.
        zone: Time zone.
    """

    kind: PeriodKind
    first_day: datetime.date
    zone: datetime.tzinfo

    @property
    def begin_s(self) -> int:
        """First second of the period."""
        return self._midnight_s(0)

    @property
    def end_s(self) -> int:
        """First second after the period."""
        return self._midnight_s(DAYS[self.kind])

    @property
    def previous(self) -> Period:
        """The period before."""
        return self._moved(-1)

    def hour_bounds(self) -> tuple[int, ...]:
        """Return the begin of every hour of the local clock, and the end of the period."""
        bounds, moment_s, end_s = [], self.begin_s, self.end_s
        while moment_s < end_s:
            bounds.append(moment_s)
            local = self.local(moment_s)
            moment_s += HOUR_S - 60 * local.minute - local.second
        return (*bounds, end_s)

    def local(self, moment_s: int) -> datetime.datetime:
        """Return a moment as local time with its offset from UTC."""
        return datetime.datetime.fromtimestamp(moment_s, self.zone)

    def same_time_before(self, moment_s: int) -> int:
        """Return the moment of the period before with the day of the week and the time of day of a moment."""
        if moment_s >= self.end_s:
            return self.begin_s
        local = self.local(moment_s) - datetime.timedelta(days=DAYS[self.kind])
        return min(max(int(local.timestamp()), self.previous.begin_s), self.begin_s)

    def _midnight_s(self, days: int) -> int:
        day = self.first_day + datetime.timedelta(days=days)
        return int(datetime.datetime.combine(day, datetime.time(), self.zone).timestamp())

    def _moved(self, periods: int) -> Period:
        return Period(self.kind, self.first_day + datetime.timedelta(days=periods * DAYS[self.kind]), self.zone)


def period_at(kind: PeriodKind, day: datetime.date, place: PlaceConfig) -> Period:
    """Return the day, or the week that contains the day."""
    first_day = day - datetime.timedelta(days=day.weekday()) if kind == "week" else day
    return Period(kind, first_day, place.zone)


def current_period(kind: PeriodKind, place: PlaceConfig, now_s: int) -> Period:
    """Return the day or week that a moment lies in."""
    return period_at(kind, datetime.datetime.fromtimestamp(now_s, place.zone).date(), place)


def last_full_period(kind: PeriodKind, place: PlaceConfig, now_s: int) -> Period:
    """Return the last day or week that had ended at a moment."""
    return current_period(kind, place, now_s).previous


def parse_period(kind: PeriodKind, text: str, place: PlaceConfig, now_s: int) -> Period:
    """Parse `today`, `yesterday` or a date; a week is named by any of its days.

    Raises:
        ConfigError: The text names no day, or a day that has not begun.
    """
    current = current_period(kind, place, now_s)
    today = current.local(now_s).date()
    if text in NAMES:
        return period_at(kind, today + datetime.timedelta(days=NAMES[text]), place)
    try:
        day = datetime.date.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(
            f"{text!r} is not a date; a date such as 2026-11-22, today or yesterday was expected."
        ) from error
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ConfigError(f"{text} is out of range; a day from {FIRST_DAY} to {LAST_DAY} was expected.")
    period = period_at(kind, day, place)
    if period.begin_s > now_s:
        raise ConfigError(f"{text} has not begun: today is {today}. Give today, or an earlier date.")
    return period
