"""Statistics of a journal, and their forms."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest
from rich.cells import cell_len

from soundwatch.daemon.config.place import PlaceConfig
from soundwatch.daemon.core.languages.language import LANGUAGES, Language
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.statistics.compute import compute_statistics
from soundwatch.daemon.statistics.digest import last_digest
from soundwatch.daemon.statistics.html import render_html
from soundwatch.daemon.statistics.period import PeriodKind, period_at
from soundwatch.daemon.statistics.records import Statistics
from soundwatch.daemon.statistics.text import BARS, render_text
from support.busy_week import FIRST, NOW, at, event_lines, gap_at, hello_at, stats_at, write_busy_journal
from support.cli_runner import soundwatch
from support.journal_factory import write_journal

UTC_PLACE = PlaceConfig(time_zone="UTC")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[JournalStore]:
    store = write_busy_journal(tmp_path / "journal.db")
    yield store
    store.close()


def computed(store: JournalStore, kind: PeriodKind, day: int, **options: float) -> Statistics:
    period = period_at(kind, (FIRST + timedelta(days=day)).date(), UTC_PLACE)
    return compute_statistics(store, period, int(options.get("now_s", NOW.timestamp())), 3600.0)


def test_a_week_is_counted_and_compared_with_the_week_before(store: JournalStore) -> None:
    week = computed(store, "week", 7)
    assert (week.events, week.previous_events, week.complete) == (16, 7, True)
    assert [(row.class_, row.events, row.previous_events) for row in week.classes] == [
        ("siren", 14, 7),
        ("dog_bark", 2, 0),
    ]
    assert week.duration_s == 14 * 10 + 360
    siren = week.classes[0]
    assert [index for index, count in enumerate(siren.by_hour) if count] == [day * 24 + 8 for day in range(7)]
    assert siren.by_source == {"mic0": 14}
    assert sum(hour.events for hour in week.hours) == week.events


def test_the_longest_event_includes_those_that_continue_it(store: JournalStore) -> None:
    day = computed(store, "day", 13)
    assert day.longest is not None
    assert (day.longest.class_, day.longest.duration_s) == ("dog_bark", 360.0)


def test_the_loudest_and_the_quietest_event_are_those_by_their_highest_level(store: JournalStore) -> None:
    week = computed(store, "week", 7)
    assert week.loudest is not None
    assert week.quietest is not None
    assert (week.loudest.level_dbfs, week.quietest.level_dbfs) == (-17.0, -23.0)


def test_coverage_is_the_share_that_was_scored(store: JournalStore) -> None:
    day = computed(store, "day", 13)
    assert day.coverage == pytest.approx(23 / 24, abs=1e-4)
    assert [hour.coverage for hour in day.hours] == [1.0] * 19 + [0.0] + [1.0] * 4
    assert (day.sources[0].scored_s, day.sources[0].reported_s) == (23 * 3600.0, 24 * 3600.0)
    assert day.previous_coverage == 1.0
    stopped = computed(store, "day", 14)
    assert stopped.coverage == 0.25, "the stream ended at 6:00"


def test_time_that_no_line_reports_yet_counts_for_nothing(tmp_path: Path) -> None:
    begin = at(0, 0)
    store = write_journal(tmp_path / "live.db", hello_at(begin), stats_at(begin, at(0, 3)))
    running = computed(store, "day", 0, now_s=at(0, 3.5).timestamp())
    assert (running.coverage, running.complete) == (1.0, False)
    assert running.sources[0].reported_s == 3 * 3600
    assert [hour.coverage for hour in running.hours][:5] == [1.0, 1.0, 1.0, None, None]
    assert render_text(running).endswith("\n\nThe comparison is with the day before up to the same time.\n")
    killed = computed(store, "day", 0, now_s=at(0, 6).timestamp())
    assert killed.coverage == 0.5
    store.close()


def test_a_journal_that_lost_its_first_lines_still_gives_the_coverage(tmp_path: Path) -> None:
    begin = at(-3, 0)
    lines: list[Line] = [gap_at(at(-1, 22), 4 * 3600.0), stats_at(begin, at(0, 12), 4 * 3600.0, final=True)]
    store = write_journal(tmp_path / "late.db", *lines)
    assert computed(store, "day", 0).coverage == pytest.approx(10 / 24, abs=1e-4)
    store.close()


def test_a_day_so_far_is_compared_up_to_the_same_time(tmp_path: Path) -> None:
    lines: list[Line] = [
        *event_lines(1, at(0, 8), 1.0),
        *event_lines(2, at(0, 20), 1.0),
        *event_lines(3, at(1, 8), 1.0),
    ]
    store = write_journal(tmp_path / "two.db", *lines)
    day = computed(store, "day", 1, now_s=at(1, 12).timestamp())
    assert (day.events, day.previous_events) == (1, 1)
    assert day.previous_end == "2024-11-11T12:00:00.000Z"
    store.close()


@pytest.mark.parametrize("calibrated", [True, False])
def test_a_sound_pressure_level_is_used_where_events_have_one(tmp_path: Path, calibrated: bool) -> None:
    path = tmp_path / "levels.db"
    store = write_journal(path, *event_lines(1, at(0, 1), 1.0, level_dbfs=-1.0), *event_lines(2, at(0, 2), 1.0))
    level = f'"level_dba":71.5,"calibrated":{str(calibrated).lower()},"onset"'
    change = """UPDATE lines SET line = CAST(replace(CAST(line AS TEXT), '"onset"', ?) AS BLOB) WHERE seq > 2"""
    store.transaction(lambda db: db.execute(change, (level,)))
    assert store.query("SELECT max(level_dba) FROM events") == [(71.5 if calibrated else None,)]
    day = computed(store, "day", 0)
    assert day.loudest is not None
    assert (day.loudest.id[-1], day.loudest.level_dba) == (("2", 71.5) if calibrated else ("1", None))
    assert ("71.5 dB(A)" in render_text(day)) == calibrated
    store.close()


def test_a_day_of_25_hours_keeps_the_repeated_hour_apart(tmp_path: Path) -> None:
    first, second = at(-15, 0.5), at(-15, 1.5)  # 02:30 in Berlin, twice
    store = write_journal(tmp_path / "long.db", *event_lines(1, first, 1.0), *event_lines(2, second, 1.0))
    period = period_at("day", date(2024, 10, 27), PlaceConfig(time_zone="Europe/Berlin"))
    day = compute_statistics(store, period, int(NOW.timestamp()), 3600.0)
    assert len(day.hours) == 25
    assert [hour.local[11:] for hour in day.hours if hour.events] == ["02:00:00+02:00", "02:00:00+01:00"]
    assert "Europe/Berlin" in render_html(day)
    store.close()


def test_the_text_has_every_number_and_no_control_codes(store: JournalStore) -> None:
    text = render_text(computed(store, "week", 7))
    assert text.startswith("Week of 18 November 2024\n16 events, 8 min in all; the week before 7 (+129 %).")
    assert re.search(r"siren +14 +7 +2 min", text)
    assert "Longest" in text
    assert text.replace("\n", "").isprintable()


def test_the_last_digest_is_that_of_the_period_before(store: JournalStore) -> None:
    now_s = int(at(14, 7).timestamp())
    assert last_digest(store, "day", UTC_PLACE, now_s, 3600.0).startswith("Sunday, 24 November 2024\n4 events")
    assert last_digest(store, "week", UTC_PLACE, now_s, 3600.0).startswith("Week of 18 November 2024\n16 events")


def test_the_html_is_one_file_that_loads_nothing_and_escapes_names(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>"
    store = write_journal(tmp_path / "evil.db", *event_lines(1, at(0, 1), 1.0, class_=evil))
    kinds: tuple[PeriodKind, ...] = ("day", "week")
    for kind in kinds:
        page = render_html(computed(store, kind, 0))
        assert evil not in page
        assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import", page)
    store.close()


def test_an_empty_period_is_no_error(tmp_path: Path) -> None:
    store = write_journal(tmp_path / "empty.db")
    day = computed(store, "day", 0)
    assert (day.events, day.coverage, day.longest) == (0, None, None)
    assert "No events." in render_text(day)
    assert "No events." in render_html(day)
    store.close()


@pytest.mark.slow
def test_the_command_prints_and_writes_the_numbers(tmp_path: Path, store: JournalStore) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(f"place: {{time_zone: UTC}}\njournal: {{path: {store.path}}}\n")
    out = tmp_path / "week.html"
    done = soundwatch("digest", "--week", "2024-11-19", "--config", str(config), "--format", "json", timeout=120)
    assert done.stderr == b"", "only a file is named"
    assert done.returncode == 0, done.stderr
    assert msgspec.json.decode(done.stdout, type=Statistics) == computed(store, "week", 7)
    command = ("digest", "--week", "2024-11-19", "--config", str(config), "--format", "html", "-o", str(out))
    assert soundwatch(*command, timeout=120).returncode == 0
    assert out.read_text("utf-8") == render_html(computed(store, "week", 7))
    again = soundwatch(*command, timeout=120)
    assert again.returncode == 2
    assert b"--overwrite" in again.stderr


def test_a_digest_is_in_the_language_of_the_place(store: JournalStore) -> None:
    now_s = int(at(14, 7).timestamp())
    day = last_digest(store, "day", PlaceConfig(time_zone="UTC", language="de"), now_s, 3600.0)
    assert day.startswith("Sonntag, 24. November 2024\n4 Ereignisse, ")
    assert "Hundegebell" in day
    week = last_digest(store, "week", PlaceConfig(time_zone="UTC", language="ja"), now_s, 3600.0)
    assert week.startswith("2024年11月18日の週\n16件、合計8分。前週は7件（+129 %）。")
    french = last_digest(store, "day", PlaceConfig(time_zone="UTC", language="fr"), now_s, 3600.0)
    assert french.startswith("Dimanche 24 novembre 2024\n4 événements, ")
    assert "\\" not in french, "no character of the language is escaped"


def test_names_in_the_text_have_no_control_codes(tmp_path: Path) -> None:
    store = write_journal(tmp_path / "odd.db", *event_lines(1, at(0, 1), 1.0, class_="a\x1b[2J", source="b\u202e"))
    text = render_text(computed(store, "day", 0))
    assert text.replace("\n", "").isprintable()
    assert "a\\x1b[2J" in text
    store.close()


@pytest.mark.parametrize("language", LANGUAGES)
def test_the_columns_of_the_text_are_aligned_in_every_language(store: JournalStore, language: Language) -> None:
    lines = render_text(computed(store, "week", 7), language).split("\n\n")[1].splitlines()
    rows = [line for line in lines if re.search(f"[{BARS[1:]}]", line)]
    starts = {cell_len(re.split(f"  [{BARS}]*$", line)[0]) for line in rows}
    assert len(rows) > 1
    assert starts == {cell_len(lines[0].partition("  00 ")[0])}
