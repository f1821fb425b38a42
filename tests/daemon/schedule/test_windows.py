"""Windows of time at days that are not like others: changes of the clock, the poles, the ends of weeks."""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterator
from zoneinfo import ZoneInfo

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.config.place import DAYS, PlaceConfig, TimeWindow, check_place, parse_bound
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.schedule.sun import sun_times, times_around
from soundwatch.daemon.schedule.windows import is_within, is_within_any, next_change

BERLIN = PlaceConfig(latitude=52.52, longitude=13.41, time_zone="Europe/Berlin")
TROMSO = PlaceConfig(latitude=69.65, longitude=18.96, time_zone="Europe/Oslo")
REYKJAVIK = PlaceConfig(latitude=64.15, longitude=-21.94, time_zone="Atlantic/Reykjavik")
AUCKLAND = PlaceConfig(latitude=-36.85, longitude=174.76, time_zone="Pacific/Auckland")
NIGHT = TimeWindow(from_="22:00", to="06:00")
DARK = TimeWindow(from_="sunset", to="sunrise")
LIGHT = TimeWindow(from_="sunrise", to="sunset")
HOUR_NS = 3_600_000_000_000


def at(place: PlaceConfig, text: str, fold: int = 0) -> int:
    """Nanoseconds since 1970 of a place's clock."""
    assert place.time_zone is not None
    moment = datetime.datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(place.time_zone), fold=fold)
    return int(moment.timestamp()) * 1_000_000_000


def within(window: TimeWindow, place: PlaceConfig, text: str, fold: int = 0) -> bool:
    return is_within(window, place, at(place, text, fold))


@pytest.mark.parametrize(
    ("text", "event", "offset_minutes"),
    [
        ("22:00", "midnight", 1320),
        ("6:05", "midnight", 365),
        ("24:00", "midnight", 1440),
        ("sunset", "sunset", 0),
        ("sunset-00:30", "sunset", -30),
        ("sunrise+01:00", "sunrise", 60),
        ("sunrise+6:00", "sunrise", 360),
    ],
)
def test_a_bound_is_a_time_of_day_or_of_the_sun(text: str, event: str, offset_minutes: int) -> None:
    bound = parse_bound(text)
    assert (bound.event, bound.offset_minutes) == (event, offset_minutes)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "22",
        "22:0",
        "24:01",
        "12:60",
        "-01:00",
        "noon",
        "sunset+",
        "sunset00:30",
        "sunset-07:00",
        "Sunset",
        "22:00 ",
    ],
)
def test_another_bound_is_refused_with_what_was_expected(text: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r'is not a time; expected a time of day such as "22:00".*`\$'):
        msgspec.convert({"when": {"from": text}}, type=dict[str, TimeWindow])


def test_a_window_over_midnight_belongs_to_the_day_it_began() -> None:
    friday = TimeWindow(from_="22:00", to="06:00", days=("fri",))
    assert not within(friday, BERLIN, "2026-11-27T05:00")  # Friday
    assert not within(friday, BERLIN, "2026-11-27T21:59:59")
    assert within(friday, BERLIN, "2026-11-27T22:00")
    assert within(friday, BERLIN, "2026-11-28T05:59:59")
    assert not within(friday, BERLIN, "2026-11-28T06:00")
    assert not within(friday, BERLIN, "2026-11-28T22:00")


def test_equal_bounds_are_a_whole_day_and_no_bounds_are_days() -> None:
    weekend = TimeWindow(days=("sat", "sun"))
    assert not within(weekend, BERLIN, "2026-11-27T23:59:59")
    assert within(weekend, BERLIN, "2026-11-28T00:00")
    assert within(weekend, BERLIN, "2026-11-29T23:59:59")
    assert not within(weekend, BERLIN, "2026-11-30T00:00")
    assert next_change([weekend], BERLIN, at(BERLIN, "2026-11-28T12:00")) == at(BERLIN, "2026-11-30T00:00")
    monday = TimeWindow(from_="09:00", to="09:00", days=("mon",))
    assert within(monday, BERLIN, "2026-12-01T08:59:59")
    assert not within(monday, BERLIN, "2026-12-01T09:00")


def test_the_day_of_23_hours_shortens_a_night_and_moves_a_time_that_does_not_exist() -> None:
    begin, end = at(BERLIN, "2026-03-28T22:00"), at(BERLIN, "2026-03-29T06:00")
    assert end - begin == 7 * HOUR_NS
    assert next_change([NIGHT], BERLIN, begin) == end
    skipped = TimeWindow(from_="02:15", to="02:45")
    assert next_change([skipped], BERLIN, at(BERLIN, "2026-03-29T00:00")) == at(BERLIN, "2026-03-29T03:15")
    assert within(skipped, BERLIN, "2026-03-29T03:30")
    assert not within(skipped, BERLIN, "2026-03-29T03:45")
    until_skipped = TimeWindow(from_="01:30", to="02:30")
    edge_ns = next_change([until_skipped], BERLIN, at(BERLIN, "2026-03-29T01:30"))
    assert edge_ns == at(BERLIN, "2026-03-29T01:30") + HOUR_NS


@pytest.mark.parametrize(
    ("zone", "window", "begin", "end"),
    [
        ("Europe/Berlin", ("02:30", "03:15"), "2026-03-29T03:00", "2026-03-29T03:15"),
        ("Europe/Berlin", ("02:30", "03:00"), "2026-03-30T02:30", "2026-03-30T03:00"),  # not at all on the 29th
        ("Australia/Lord_Howe", ("02:15", "02:40"), "2026-10-04T02:30", "2026-10-04T02:40"),
        ("America/Santiago", ("00:30", "01:15"), "2026-09-06T01:00", "2026-09-06T01:15"),
        ("America/Santiago", ("24:00", "01:15"), "2026-09-06T01:00", "2026-09-06T01:15"),
        ("Africa/Cairo", ("00:45", "01:30"), "2026-04-24T01:00", "2026-04-24T01:30"),
        ("Asia/Beirut", ("23:30", "00:30"), "2026-03-28T23:30", "2026-03-29T01:30"),
    ],
)
def test_a_window_whose_begin_is_skipped_begins_with_the_change_if_it_would_be_empty(
    zone: str, window: tuple[str, str], begin: str, end: str
) -> None:
    place = PlaceConfig(time_zone=zone)
    here = TimeWindow(from_=window[0], to=window[1])
    begin_ns = next_change([here], place, at(place, begin) - 3 * HOUR_NS)
    assert begin_ns == at(place, begin)
    assert next_change([here], place, begin_ns) == at(place, end)


def test_the_day_of_25_hours_lengthens_a_night_and_counts_a_repeated_time_once() -> None:
    begin, end = at(BERLIN, "2026-10-24T22:00"), at(BERLIN, "2026-10-25T06:00")
    assert end - begin == 9 * HOUR_NS
    assert next_change([NIGHT], BERLIN, begin) == end
    repeated = TimeWindow(from_="02:15", to="02:45")
    assert within(repeated, BERLIN, "2026-10-25T02:30", fold=0)
    assert not within(repeated, BERLIN, "2026-10-25T02:30", fold=1)
    changes = next_change([repeated], BERLIN, at(BERLIN, "2026-10-25T02:30"))
    assert changes == at(BERLIN, "2026-10-25T02:45", fold=0)


def test_sunrise_and_sunset_agree_with_an_almanac() -> None:
    # timeanddate.com gives Berlin, 21 June 2026, 04:43 to 21:33, and 21 December 08:15 to 15:54
    zone = ZoneInfo("Europe/Berlin")
    for day, rise, fall in (("2026-06-21", "04:43", "21:33"), ("2026-12-21", "08:15", "15:54")):
        date = datetime.date.fromisoformat(day)
        sunrise_s, sunset_s = sun_times(52.52, 13.41, date, zone)
        assert sunrise_s == pytest.approx(at(BERLIN, f"{day}T{rise}") / 1e9, abs=120)
        assert sunset_s == pytest.approx(at(BERLIN, f"{day}T{fall}") / 1e9, abs=120)


def test_offsets_move_the_bounds_of_the_sun() -> None:
    sunset_ns = sun_times(52.52, 13.41, datetime.date(2026, 11, 30), ZoneInfo("Europe/Berlin"))[1] * 1_000_000_000
    evening = TimeWindow(from_="sunset-00:30", to="22:00")
    noon = at(BERLIN, "2026-11-30T12:00")
    assert next_change([evening], BERLIN, noon) == sunset_ns - HOUR_NS // 2


def test_a_sunset_after_midnight_belongs_to_the_evening_before() -> None:
    # in Reykjavik's June the sun sets shortly after midnight
    friday = TimeWindow(from_="sunset", to="sunrise", days=("fri",))
    begin = next_change([friday], REYKJAVIK, at(REYKJAVIK, "2026-06-19T12:00"))
    assert begin is not None
    assert at(REYKJAVIK, "2026-06-20T00:00") < begin < at(REYKJAVIK, "2026-06-20T00:15")


def test_an_end_of_the_sun_before_the_begin_makes_an_empty_window() -> None:
    late = TimeWindow(from_="16:30", to="sunset")  # Berlin's December sun sets before 16:00
    assert not within(late, BERLIN, "2026-12-21T16:45")
    assert not within(late, BERLIN, "2026-12-22T10:00")
    assert within(late, BERLIN, "2026-06-21T16:45")
    assert next_change([late], BERLIN, at(BERLIN, "2026-12-10T12:00")) is None


@pytest.mark.parametrize("clock", ["00:00", "03:00", "09:00", "12:00", "15:00", "21:00", "23:59"])
def test_the_polar_night_is_dark_and_the_polar_day_is_light(clock: str) -> None:
    assert within(DARK, TROMSO, f"2026-12-21T{clock}")
    assert not within(LIGHT, TROMSO, f"2026-12-21T{clock}")
    assert within(LIGHT, TROMSO, f"2026-06-21T{clock}")
    assert not within(DARK, TROMSO, f"2026-06-21T{clock}")


def test_no_change_is_found_inside_the_polar_night() -> None:
    assert next_change([DARK], TROMSO, at(TROMSO, "2026-12-10T12:00")) is None
    assert next_change([DARK], TROMSO, at(TROMSO, "2026-03-10T12:00")) is not None


@pytest.mark.parametrize("latitude", [-90.0, -66.6, 0.0, 66.0, 67.5, 89.9, 90.0])
@pytest.mark.parametrize("longitude", [-180.0, -100.0, 0.0, 179.9])
def test_every_day_of_the_year_has_a_night_of_at_most_a_day_everywhere(latitude: float, longitude: float) -> None:
    zone = ZoneInfo("UTC")
    for number in range(0, 366, 5):
        day = datetime.date(2026, 1, 1) + datetime.timedelta(days=number)
        sunrise_s, sunset_s = sun_times(latitude, longitude, day, zone)
        assert 0 <= sunset_s - sunrise_s <= 86_400
    times_around.cache_clear()


@pytest.mark.parametrize("place", [BERLIN, AUCKLAND, TROMSO, REYKJAVIK], ids=lambda place: str(place.time_zone))
@given(
    window=st.builds(
        TimeWindow,
        from_=st.sampled_from(["00:00", "02:30", "22:00", "sunset-00:30", "sunrise+01:00"]),
        to=st.sampled_from(["06:00", "24:00", "02:30", "sunrise", "sunset"]),
        days=st.lists(st.sampled_from(DAYS), unique=True, max_size=3).map(tuple),
    ),
    hour=st.integers(0, 24 * 366),
)
def test_nothing_changes_before_the_next_change(place: PlaceConfig, window: TimeWindow, hour: int) -> None:
    now_ns = at(BERLIN, "2026-01-01T00:00") + hour * HOUR_NS
    before = is_within(window, place, now_ns)
    edge_ns = next_change([window], place, now_ns)
    if edge_ns is None:
        assert is_within(window, place, now_ns + 8 * 24 * HOUR_NS) == before
        return
    assert is_within(window, place, edge_ns) is not before
    assert is_within(window, place, edge_ns - 1) is before
    assert is_within(window, place, (now_ns + edge_ns) // 2) is before


def test_windows_that_touch_are_one() -> None:
    windows = [TimeWindow(from_="08:00", to="12:00"), TimeWindow(from_="12:00", to="18:00")]
    assert next_change(windows, BERLIN, at(BERLIN, "2026-11-30T09:00")) == at(BERLIN, "2026-11-30T18:00")
    assert is_within_any(windows, BERLIN, at(BERLIN, "2026-11-30T12:00"))
    assert not is_within_any([], BERLIN, at(BERLIN, "2026-11-30T12:00"))


@pytest.fixture
def system_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("system_zone")
def test_without_a_time_zone_the_systems_applies_with_its_changes() -> None:
    new_york = PlaceConfig(latitude=40.71, longitude=-74.01, time_zone="America/New_York")
    system = PlaceConfig(latitude=40.71, longitude=-74.01)
    for text in ("2026-03-08T00:30", "2026-11-01T00:30", "2026-07-04T12:00"):
        now_ns = at(new_york, text)
        for window in (NIGHT, DARK, TimeWindow(from_="02:30", to="03:30"), TimeWindow(from_="01:30", to="01:45")):
            assert next_change([window], system, now_ns) == next_change([window], new_york, now_ns)
            assert is_within(window, system, now_ns) is is_within(window, new_york, now_ns)


@pytest.mark.parametrize(
    ("tree", "message"),
    [
        ({"time_zone": "Europe/Berlim"}, "'Europe/Berlim' is not a time zone; did you mean Europe/Berlin"),
        ({"time_zone": "../etc/passwd"}, "is not a time zone"),
        ({"latitude": 52.5}, "latitude and longitude are given together"),
        ({"latitude": 152.5, "longitude": 0}, "<= 90"),
    ],
)
def test_a_place_that_is_none_is_refused(tree: dict[str, object], message: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=message):
        msgspec.convert(tree, PlaceConfig)


def test_a_window_of_the_sun_needs_coordinates() -> None:
    check_place([NIGHT], PlaceConfig(), "schedules.night.when")
    check_place([NIGHT, DARK], BERLIN, "schedules.night.when")
    with pytest.raises(ConfigError, match=r"schedules\.night\.when\[1\]: sunset to sunrise .* Set place\.latitude"):
        check_place([NIGHT, DARK], PlaceConfig(), "schedules.night.when")
