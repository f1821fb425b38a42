"""Levels of a period by the hour."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.events.level_schema import LevelPeriodLine
from soundwatch.daemon.statistics.compute import compute_statistics
from soundwatch.daemon.statistics.html import render_html
from soundwatch.daemon.statistics.period import PeriodKind, period_at
from soundwatch.daemon.statistics.records import LevelStatistics
from support.busy_week import FIRST, NOW, at, utc
from support.journal_factory import write_journal
from support.level_factory import period_line

UNITS = ("dB(A)", "dBFS(A), not calibrated")


def quarter(hour: float, laeq_db: float | None, **changes: Any) -> LevelPeriodLine:
    return period_line(utc(at(0, hour)), changes.pop("time", utc(at(0, hour + 0.25))), laeq_db, **changes)


def levels(
    folder: Path, *lines: LevelPeriodLine, zone: str = "UTC", kind: PeriodKind = "day"
) -> tuple[LevelStatistics, ...]:
    store = write_journal(folder / "levels.db", *lines)
    period = period_at(kind, FIRST.date(), PlaceConfig(time_zone=zone))
    found = compute_statistics(store, period, int(NOW.timestamp()), 3600.0).levels
    store.close()
    return found


def test_the_level_of_an_hour_is_the_energy_mean_of_its_measured_time(tmp_path: Path) -> None:
    [found] = levels(tmp_path, quarter(8, 50.0), quarter(8.25, 60.0, coverage=0.5), quarter(9, 40.0))
    assert found.by_hour[8] == pytest.approx(10 * math.log10((1e5 + 0.5 * 1e6) / 1.5), abs=0.05)
    assert found.by_hour[9] == 40.0
    assert [hour for hour, level in enumerate(found.by_hour) if level is not None] == [8, 9]
    assert len(found.by_hour) == 24


def test_digital_silence_lowers_the_mean_and_has_no_level_by_itself(tmp_path: Path) -> None:
    [found] = levels(tmp_path, quarter(8, 50.0), quarter(8.25, None), quarter(9, None))
    assert (found.by_hour[8], found.by_hour[9]) == (47.0, None)


@pytest.mark.parametrize("kind", ["day", "week"])
def test_the_html_has_a_map_of_the_levels_of_each_unit(tmp_path: Path, kind: PeriodKind) -> None:
    lines = quarter(8, -50.0, source="a<b"), quarter(9, -30.0, source="a<b"), quarter(8, 55.0, calibrated=True)
    store = write_journal(tmp_path / "levels.db", *lines)
    period = period_at(kind, FIRST.date(), PlaceConfig(time_zone="UTC"))
    page = render_html(compute_statistics(store, period, int(NOW.timestamp()), 3600.0))
    store.close()
    suffixes = ("", "") if kind == "day" else (", mic0", ", a&lt;b")
    assert [f"<h3>LAeq, {unit}{suffix}</h3>" in page for unit, suffix in zip(UNITS, suffixes, strict=True)] == [
        True
    ] * 2
    assert [text in page for text in ("shade-1'>-50<", "shade-4'>-30<", ">55<")] == [True] * 3
    empty = write_journal(tmp_path / "none.db")
    assert "Levels" not in render_html(compute_statistics(empty, period, int(NOW.timestamp()), 3600.0))
    empty.close()


def test_sources_and_calibrations_are_apart(tmp_path: Path) -> None:
    found = levels(tmp_path, quarter(8, -50.0), quarter(8, 55.0, calibrated=True), quarter(8, -40.0, source="yard"))
    assert [(row.source, row.calibrated, row.laeq_db) for row in found] == [
        ("mic0", False, -50.0), ("mic0", True, 55.0), ("yard", False, -40.0),
    ]  # fmt: skip


def test_other_periods_and_other_days_are_left_out(tmp_path: Path) -> None:
    hour = quarter(8, 70.0, period="1h", time=utc(at(0, 9)))
    outside = quarter(-0.25, 70.0), quarter(24, 70.0)
    [found] = levels(tmp_path, hour, *outside, quarter(23.75, 50.0))
    assert (found.laeq_db, found.by_hour[23]) == (50.0, 50.0)


def test_a_zone_of_half_an_hour_keeps_its_own_hours(tmp_path: Path) -> None:
    [found] = levels(tmp_path, quarter(2.5, 50.0), zone="Asia/Kolkata")
    assert found.by_hour[8] == 50.0


def test_a_quarter_of_another_zone_that_overlaps_midnight_is_in_no_hour(tmp_path: Path) -> None:
    assert levels(tmp_path, quarter(-0.1, 50.0)) == ()


def test_a_week_has_one_level_for_each_of_its_hours(tmp_path: Path) -> None:
    [found] = levels(tmp_path, quarter(30, 50.0), kind="week")
    assert len(found.by_hour) == 168
    assert found.by_hour[30] == 50.0
