"""Evaluation of windows of time.

Conventions: all depends on the moment alone, so a restart, a suspend or a step of the clock needs no care. A time of
day that a change of the clock skips counts with the offset before the change (02:30 becomes 03:30); one that exists
twice counts the first time. So a window keeps its length through a change, but not its end's distance from midnight.
Where only the begin is skipped and would be after the end, the window begins with the change.
Where a window begins or ends by the sun, the bound is that of the day it belongs to; an end before its begin makes an
empty window.
Source: PEP 495 for skipped and repeated times.
Does not: read a clock, or check that coordinates are there (`config/place.py`).
"""

from __future__ import annotations

import datetime
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final

from soundwatch.daemon.config.place import DAYS, PlaceConfig, TimeBound, TimeWindow, parse_bound
from soundwatch.daemon.core.time.clock import DAY_S, SECOND_NS
from soundwatch.daemon.schedule.sun import sun_times

DAYS_BACK: Final = 2  # a window is shorter than two days
HORIZON_DAYS: Final = 8  # every window of a week changes within it
HORIZON_NS: Final = HORIZON_DAYS * DAY_S * SECOND_NS


def is_within(window: TimeWindow, place: PlaceConfig, unix_ns: int) -> bool:
    """Return True if a moment lies in a window.

    Args:
        window: The window.
        place: The place, with coordinates if the window names the sun.
        unix_ns: The moment, in nanoseconds since 1970.
    """
    today = _date_at(unix_ns, place)
    days = (today + datetime.timedelta(days=offset) for offset in range(-DAYS_BACK, 2))
    return any(begin_ns <= unix_ns < end_ns for begin_ns, end_ns in _occurrences(window, place, days))


def is_within_any(windows: Iterable[TimeWindow], place: PlaceConfig, unix_ns: int) -> bool:
    """Return True if a moment lies in one of the windows."""
    return any(is_within(window, place, unix_ns) for window in windows)


def next_change(windows: Iterable[TimeWindow], place: PlaceConfig, unix_ns: int) -> int | None:
    """Return the next moment at which windows begin or end to apply; None if none is in the next eight days.

    Args:
        windows: Windows, of which each may apply.
        place: The place.
        unix_ns: The moment from which to look, in nanoseconds since 1970.
    """
    windows = tuple(windows)
    today = _date_at(unix_ns, place)
    days = [today + datetime.timedelta(days=offset) for offset in range(-DAYS_BACK, HORIZON_DAYS + DAYS_BACK)]
    spans = [span for window in windows for span in _occurrences(window, place, days)]
    now = any(begin_ns <= unix_ns < end_ns for begin_ns, end_ns in spans)
    for edge_ns in sorted({edge for span in spans for edge in span if unix_ns < edge <= unix_ns + HORIZON_NS}):
        if any(begin_ns <= edge_ns < end_ns for begin_ns, end_ns in spans) != now:
            return edge_ns
    return None


def next_begin(window: TimeWindow, place: PlaceConfig, unix_ns: int) -> int | None:
    """Return the next moment at which a window begins; None if none is in the next eight days.

    Args:
        window: The window.
        place: The place.
        unix_ns: The moment from which to look, in nanoseconds since 1970.
    """
    today = _date_at(unix_ns, place)
    days = (today + datetime.timedelta(days=offset) for offset in range(-1, HORIZON_DAYS))
    return min((begin_ns for begin_ns, _ in _occurrences(window, place, days) if begin_ns > unix_ns), default=None)


def last_begin(window: TimeWindow, place: PlaceConfig, unix_ns: int) -> int | None:
    """Return the last moment at which a window began, the present one included; None if none was in eight days.

    Args:
        window: The window.
        place: The place.
        unix_ns: The moment up to which to look, in nanoseconds since 1970.
    """
    today = _date_at(unix_ns, place)
    days = (today - datetime.timedelta(days=offset) for offset in range(-1, HORIZON_DAYS))
    return max((begin_ns for begin_ns, _ in _occurrences(window, place, days) if begin_ns <= unix_ns), default=None)


def _occurrences(window: TimeWindow, place: PlaceConfig, days: Iterable[datetime.date]) -> Iterable[tuple[int, int]]:
    """Yield begin and end of a window on each of its days, in nanoseconds since 1970."""
    begin, end = parse_bound(window.from_), parse_bound(window.to)
    for day in days:
        if not window.days or DAYS[day.weekday()] in window.days:
            end_day = day + datetime.timedelta(days=window.ends_next_day)
            begin_s, end_s = _bound_s(begin, place, day), _bound_s(end, place, end_day)
            if begin_s >= end_s and begin.event == "midnight":
                begin_s = _change_before(_clock_time(begin, place, day), begin_s)
            yield begin_s * SECOND_NS, end_s * SECOND_NS


def _change_before(moment: datetime.datetime, unix_s: int) -> int:
    """Return the change of the clock that skips a local time, in seconds since 1970; `unix_s` if none does."""
    later = moment.replace(fold=1)  # by the offset after the change, which is a moment before the change
    seconds, offset = range(int(later.timestamp()), unix_s), later.utcoffset()
    if not seconds:
        return unix_s
    zone = moment.tzinfo
    return seconds.start + bisect_left(
        seconds, True, key=lambda s: datetime.datetime.fromtimestamp(s, zone).utcoffset() == offset
    )


def _bound_s(bound: TimeBound, place: PlaceConfig, day: datetime.date) -> int:
    """Return a bound of a day in seconds since 1970."""
    if bound.event == "midnight":
        return int(_clock_time(bound, place, day).timestamp())
    assert place.latitude is not None
    assert place.longitude is not None
    sunrise_s, sunset_s = sun_times(place.latitude, place.longitude, day, place.zone)
    return (sunrise_s if bound.event == "sunrise" else sunset_s) + bound.offset_minutes * 60


def _clock_time(bound: TimeBound, place: PlaceConfig, day: datetime.date) -> datetime.datetime:
    """Return the local time of a bound by the clock."""
    days, minutes = divmod(bound.offset_minutes, 24 * 60)
    time = datetime.time(minutes // 60, minutes % 60)
    return datetime.datetime.combine(day + datetime.timedelta(days=days), time, place.zone)


def _date_at(unix_ns: int, place: PlaceConfig) -> datetime.date:
    return datetime.datetime.fromtimestamp(unix_ns // SECOND_NS, place.zone).date()
