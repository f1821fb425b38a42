"""Periods of levels: means, percentiles, the parts of a day, local time and its changes."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from soundwatch.daemon.core.time.clock import SECOND_NS
from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.level.meter import SecondLevel
from soundwatch.daemon.level.periods import (
    LevelSums,
    Period,
    PeriodState,
    add_second,
    day_evening_night,
    end_periods,
)

BERLIN = ZoneInfo("Europe/Berlin")


def second(level_db: float, coverage: float = 1.0) -> SecondLevel:
    """A second of a steady level."""
    value = 10 ** (level_db / 10)
    return SecondLevel(0, 1000, round(1000 * coverage), value, value, value, value, value, (value,) * 8)


def unix_ns(*moment: int, zone: ZoneInfo = BERLIN, fold: int = 0) -> int:
    year, month, day, *time = moment
    return round(datetime(year, month, day, *time, tzinfo=zone, fold=fold).timestamp()) * SECOND_NS  # type: ignore[misc,arg-type]


def periods_of(
    seconds: list[tuple[int, SecondLevel]], zone: ZoneInfo = BERLIN, step_ns: int = SECOND_NS
) -> list[Period]:
    """All periods of seconds with the UTC of their starts."""
    state, found = PeriodState(), list[Period]()
    for start_unix_ns, level in seconds:
        state, ended = add_second(state, level, start_unix_ns + step_ns, zone)
        found += ended
    return found + end_periods(state, zone)


def db(value: float | None) -> float:
    assert value is not None
    return 10 * math.log10(value)


def test_means_add_energies_and_maxima_are_kept() -> None:
    begin = unix_ns(2026, 3, 2, 12)
    loud = [(begin + number * SECOND_NS, second(-20 if number < 6 else -50)) for number in range(60)]
    [minute] = [period for period in periods_of(loud) if period.kind == "1min"]
    assert db(minute.sums.mean(minute.sums.a)) == pytest.approx(10 * math.log10(0.1 * 1e-2 + 0.9 * 1e-5), abs=1e-6)
    assert db(minute.sums.fast_max) == pytest.approx(-20)
    assert minute.coverage == 1.0


def test_percentiles_are_the_levels_exceeded_for_a_share_of_the_time() -> None:
    begin = unix_ns(2026, 3, 2, 12)
    ramp = [(begin + number * SECOND_NS, second(-100 + number)) for number in range(100)]
    quarter = next(period for period in periods_of(ramp) if period.kind == "15min")
    assert quarter.sums.exceeded_db(0.1) == pytest.approx(-10, abs=1)
    assert quarter.sums.exceeded_db(0.5) == pytest.approx(-50, abs=1)
    assert quarter.sums.exceeded_db(0.9) == pytest.approx(-90, abs=1)


def test_digital_silence_has_no_percentiles() -> None:
    silent = SecondLevel(0, 1000, 1000, 0.0, 0.0, 0.0, 0.0, 0.0, (0.0,) * 8)
    [minute, *_] = periods_of([(unix_ns(2026, 3, 2, 12), silent)])
    assert minute.sums.exceeded_db(0.5) is None


def test_periods_begin_at_full_minutes_quarters_hours_and_days_of_local_time() -> None:
    kolkata = ZoneInfo("Asia/Kolkata")  # half an hour from the hours of UTC
    begin = unix_ns(2026, 3, 2, 11, 59, 58, zone=kolkata)
    found = periods_of([(begin + number * SECOND_NS, second(-40)) for number in range(4)], kolkata)
    starts = [
        (period.kind, datetime.fromtimestamp(period.start_unix_ns / 1e9, kolkata).strftime("%H:%M")) for period in found
    ]
    assert starts == [
        ("1min", "11:59"),
        ("15min", "11:45"),
        ("1h", "11:00"),
        ("1min", "12:00"),
        ("15min", "12:00"),
        ("1h", "12:00"),
        ("day", "00:00"),
    ]
    assert sum(period.sums.measured_s for period in found if period.kind == "1min") == 4.0
    assert next(period for period in found if period.kind == "day").sums.measured_s == 4.0


def test_a_gap_lowers_the_coverage_and_has_no_periods() -> None:
    begin = unix_ns(2026, 3, 2, 12)
    seconds = [(begin, second(-40)), (begin + 3 * 3600 * SECOND_NS, second(-40, 0.5))]
    found = periods_of(seconds)
    assert [period.kind for period in found] == ["1min", "15min", "1h", "1min", "15min", "1h", "day"]
    assert [round(period.coverage * 3600, 6) for period in found if period.kind == "1h"] == [1.0, 0.5]
    assert db(found[-1].sums.mean(found[-1].sums.a)) == pytest.approx(-40)


@pytest.mark.parametrize(
    ("day", "hours"), [((2026, 3, 2), 24), ((2026, 3, 29), 23), ((2026, 10, 25), 25)], ids=["usual", "spring", "autumn"]
)
def test_a_day_of_the_change_of_clocks_has_its_own_length_and_parts(day: tuple[int, int, int], hours: int) -> None:
    begin = unix_ns(*day)
    levels = {7: -30.0, 19: -40.0, 23: -60.0}
    seconds = []
    for quarter in range(4 * hours):  # one second a quarter is enough
        start_ns = begin + quarter * 900 * SECOND_NS
        hour = datetime.fromtimestamp(start_ns / 1e9, BERLIN).hour
        level = levels[max((bound for bound in levels if bound <= hour), default=23)]
        seconds.append((start_ns, second(level)))
    found = periods_of(seconds)
    [whole] = [period for period in found if period.kind == "day"]
    assert whole.end_unix_ns - whole.start_unix_ns == hours * 3600 * SECOND_NS
    assert len([period for period in found if period.kind == "1h"]) == hours
    assert [round(part.measured_s) for part in whole.parts] == [48, 16, 4 * (hours - 16)]
    assert [db(part.mean(part.a)) for part in whole.parts] == pytest.approx([-30, -40, -60])


def test_lden_weights_the_evening_with_5_and_the_night_with_10_decibels() -> None:
    parts = tuple(LevelSums(1.0, 10 ** (level / 10)) for level in (60, 55, 50))
    expected = 10 * math.log10((12 * 10**6.0 + 4 * 10**6.0 + 8 * 10**6.0) / 24)
    assert db(day_evening_night(parts)) == pytest.approx(expected)
    assert day_evening_night((parts[0], LevelSums(), parts[2])) is None


def test_a_clock_that_is_set_back_ends_the_periods() -> None:
    later, earlier = unix_ns(2026, 3, 2, 12), unix_ns(2026, 3, 2, 11)
    found = periods_of([(later, second(-40)), (earlier, second(-40))])
    assert [period.kind for period in found] == ["1min", "15min", "1h", "1min", "15min", "1h", "day"]


@pytest.mark.parametrize(
    ("change", "hours"),
    [
        ((2026, 4, 4, 15), ["01:00+1100 60", "01:30+1030 30", "02:00+1030 60"]),  # 02:00 becomes 01:30
        ((2026, 10, 3, 15, 30), ["01:00+1030 60", "02:30+1100 30", "03:00+1100 60"]),  # 02:00 becomes 02:30
    ],
)
def test_hours_of_a_change_of_half_an_hour_do_not_overlap(change: tuple[int, ...], hours: list[str]) -> None:
    zone = ZoneInfo("Australia/Lord_Howe")
    begin = unix_ns(*change, zone=ZoneInfo("UTC")) - 3600 * SECOND_NS
    half_hours = range(begin, begin + 9000 * SECOND_NS, 1800 * SECOND_NS)
    found = [period for period in periods_of([(time, second(-40)) for time in half_hours], zone) if period.kind == "1h"]
    texts = [
        f"{datetime.fromtimestamp(period.start_unix_ns // SECOND_NS, zone):%H:%M%z} "
        f"{(period.end_unix_ns - period.start_unix_ns) // SECOND_NS // 60}"
        for period in found
    ]
    assert texts == hours


def test_periods_in_the_time_zone_of_the_system() -> None:
    noon = round(datetime(2026, 3, 2, 12, tzinfo=UTC).timestamp()) * SECOND_NS
    _, ended = add_second(PeriodState(), second(-40), noon, SYSTEM_ZONE)
    state, _ = add_second(PeriodState(), second(-40), noon + SECOND_NS, SYSTEM_ZONE)
    assert ended == []
    assert [period.kind for period in end_periods(state, SYSTEM_ZONE)] == ["1min", "15min", "1h", "day"]
