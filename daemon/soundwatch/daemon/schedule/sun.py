"""Sunrise and sunset at a place, also where the sun does not rise or set.

Conventions: a day's sunrise is the last before its solar noon, and its sunset the first after, by at most 12 hours; so
both belong to one day even where a summer's sunset comes after midnight. Where the sun stays up, both are 12 hours
from noon (solar midnight); where the sun stays down, both are at noon. Times are those of the upper rim at a level
horizon with refraction; they agree with tables within a minute or two.
Source: the package astral, after the equations of NOAA's solar calculator.
"""

from __future__ import annotations

import datetime
from functools import lru_cache
from typing import Final

import astral.sun

HALF_DAY: Final = datetime.timedelta(hours=12)
ZENITH_AT_RISE: Final = 90.0 + astral.sun.SUN_APPARENT_RADIUS
ELEVATION_AT_RISE: Final = -0.833  # degrees of the sun's center, with 34' of refraction


def sun_times(latitude: float, longitude: float, date: datetime.date, zone: datetime.tzinfo) -> tuple[int, int]:
    """Return sunrise and sunset of a day, in whole seconds since 1970.

    Args:
        latitude: Degrees north.
        longitude: Degrees east.
        date: The day, at the place.
        zone: Time zone of the place.
    """
    clock_noon = datetime.datetime.combine(date, datetime.time(12), zone).astimezone(datetime.UTC)
    return times_around(latitude, longitude, clock_noon)


@lru_cache(maxsize=1024)
def times_around(latitude: float, longitude: float, clock_noon: datetime.datetime) -> tuple[int, int]:
    """Return sunrise and sunset around the solar noon nearest to a time, in whole seconds since 1970."""
    observer = astral.Observer(latitude, longitude)
    noons = [astral.sun.noon(observer, day) for day in _days_around(clock_noon)]
    noon = min(noons, key=lambda noon: abs(noon - clock_noon))
    polar = (
        HALF_DAY
        if astral.sun.elevation(observer, noon, with_refraction=False) > ELEVATION_AT_RISE
        else datetime.timedelta(0)
    )
    rising = _nearest(observer, noon, astral.SunDirection.RISING)
    setting = _nearest(observer, noon, astral.SunDirection.SETTING)
    return round((rising or noon - polar).timestamp()), round((setting or noon + polar).timestamp())


def _nearest(
    observer: astral.Observer, noon: datetime.datetime, direction: astral.SunDirection
) -> datetime.datetime | None:
    """Return the sunrise before or the sunset after a solar noon; None if the sun does not cross the horizon."""
    for day in _days_around(noon):
        try:
            moment = astral.sun.time_of_transit(observer, day, ZENITH_AT_RISE, direction)
        except ValueError:  # the sun stays on one side of the horizon
            continue
        after_noon = moment - noon if direction is astral.SunDirection.SETTING else noon - moment
        if datetime.timedelta(0) <= after_noon <= HALF_DAY:
            return moment
    return None


def _days_around(moment: datetime.datetime) -> list[datetime.date]:
    return [moment.date() + datetime.timedelta(days=days) for days in (-1, 0, 1)]
