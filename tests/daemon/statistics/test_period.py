"""Days, weeks and hours of a calendar with changes of the clock."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise

import pytest

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.statistics.period import Period, current_period, last_full_period, parse_period, period_at


def day_at(zone: str, day: str) -> Period:
    return period_at("day", date.fromisoformat(day), PlaceConfig(time_zone=zone))


def lengths(period: Period) -> list[int]:
    return [end - begin for begin, end in pairwise(period.hour_bounds())]


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-07-01", 24),
        ("America/Havana", "2026-03-08", 23),  # midnight is skipped
        ("America/Havana", "2026-11-01", 25),  # midnight exists twice
        ("Asia/Kolkata", "2026-07-01", 24),  # half an hour from the hours of UTC
    ],
)
def test_a_day_has_the_hours_of_its_clock(zone: str, day: str, hours: int) -> None:
    assert lengths(day_at(zone, day)) == [3600] * hours


def test_a_change_of_half_an_hour_makes_one_shorter_hour() -> None:
    period = day_at("Australia/Lord_Howe", "2026-04-05")  # 02:00 becomes 01:30
    found = lengths(period)
    assert sum(found) == 24.5 * 3600
    assert sorted(set(found)) == [1800, 3600]
    assert [period.local(bound).minute for bound in period.hour_bounds()].count(0) == 25


def test_days_follow_each_other_without_a_gap() -> None:
    period = day_at("Europe/Berlin", "2026-10-25")
    assert period.previous.end_s == period.begin_s
    week = period_at("week", date(2026, 10, 25), PlaceConfig(time_zone="Europe/Berlin"))
    assert week.first_day == date(2026, 10, 19)
    assert len(week.hour_bounds()) - 1 == 7 * 24 + 1
    assert week.end_s == period.end_s


def test_the_time_before_has_the_same_clock_time_over_a_change() -> None:
    period = day_at("Europe/Berlin", "2026-10-25")
    noon = int(datetime(2026, 10, 25, 11, tzinfo=UTC).timestamp())  # 12:00 CET
    assert period.local(period.same_time_before(noon)).isoformat() == "2026-10-24T12:00:00+02:00"
    assert period.same_time_before(period.end_s) == period.begin_s


def test_periods_are_named_by_words_and_dates() -> None:
    place = PlaceConfig(time_zone="Europe/Berlin")
    now_s = int(datetime(2026, 11, 22, 23, 30, tzinfo=UTC).timestamp())  # the 23rd in Berlin, a Monday
    assert parse_period("day", "today", place, now_s).first_day == date(2026, 11, 23)
    assert parse_period("day", "yesterday", place, now_s).first_day == date(2026, 11, 22)
    assert parse_period("week", "2026-11-22", place, now_s).first_day == date(2026, 11, 16)
    assert current_period("week", place, now_s).first_day == date(2026, 11, 23)
    assert last_full_period("week", place, now_s).first_day == date(2026, 11, 16)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("monday", "is not a date"),
        ("2026-02-30", "is not a date"),
        ("2026-12-01", "has not begun"),
        ("1969-01-01", "out of"),
    ],
)
def test_an_impossible_day_is_refused(text: str, message: str) -> None:
    now_s = int(datetime(2026, 11, 22, tzinfo=UTC).timestamp())
    with pytest.raises(ConfigError, match=message):
        parse_period("day", text, PlaceConfig(time_zone="UTC"), now_s)
