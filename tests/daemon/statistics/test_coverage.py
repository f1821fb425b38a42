"""Scored and unreported time of sources that are paused, absent or restarted."""

from __future__ import annotations

import json

import pytest

from soundwatch.daemon.journal.queries.statistics import SourceLine
from soundwatch.daemon.statistics.coverage import scored_times, unix_ms

HOUR = 3_600_000
HEALTH = ("paused", "resumed", "lost", "waiting", "back", "reanchored", "poor")


def line(time: str, type_: str, part: dict[str, object]) -> SourceLine:
    """Return a line of a source."""
    return SourceLine(time, type_, "mic0", json.dumps(part).encode())


def lines(*words: str) -> list[SourceLine]:
    """Return a line a minute: `final` and `stats` are `stats` lines, and the words of HEALTH are states."""
    found = []
    for minute, word in enumerate(words):
        kind = "stats" if word == "final" else "health" if word in HEALTH else word
        part: dict[str, object] = {"state": word} if kind == "health" else {}
        if kind == "stats":
            part = {"duration_s": 60.0, "final": word == "final"}
        found.append(SourceLine(f"2024-11-11T00:{minute:02}:00.000Z", kind, "mic0", json.dumps(part).encode()))
    return found


@pytest.mark.parametrize(
    ("words", "unreported"),
    [
        ("hello", True),
        ("hello paused", False),
        ("hello paused resumed", True),
        ("paused hello", False),  # paused before its first sound
        ("paused hello resumed", True),
        ("hello paused lost back", False),  # its device came back in the pause
        ("hello lost back", True),
        ("hello lost paused resumed", False),  # its device is still away
        ("hello lost paused back resumed", True),
        ("waiting paused resumed", False),
        ("hello paused poor", False),
        ("hello paused reanchored hello", False),  # the clock was set back in the pause
        ("hello paused hello", True),  # killed in the pause, and not paused after the restart
        ("hello paused paused hello", False),  # killed in the pause, and paused again before the first sound
        ("hello paused final hello", True),
        ("hello paused final paused hello", False),
        ("hello final", False),
    ],
)
def test_only_the_time_of_a_source_that_is_present_and_not_paused_is_unreported(words: str, unreported: bool) -> None:
    read = lines(*words.split())
    now_ms = unix_ms(read[-1].time) + 30_000
    [time] = scored_times(read, now_ms, HOUR / 1000).values()
    assert bool(time.unreported) is unreported


def test_a_pause_before_the_first_sound_takes_nothing_from_the_scored_time() -> None:
    read = lines("paused", "hello", "resumed", "stats")
    [time] = scored_times(read, unix_ms(read[-1].time), HOUR / 1000).values()
    assert time.scored == ((unix_ms(read[1].time), unix_ms(read[-1].time)),)


@pytest.mark.parametrize("seen_from", [0, 1, 2], ids=["whole", "since the update", "since the step"])
def test_the_time_that_a_clock_skipped_was_not_scored(seen_from: int) -> None:
    """A machine without a battery starts with the time of its last shutdown, and jumps when the network is up."""
    step = {"state": "reanchored", "reason": "clock_step", "shift_ms": 8 * HOUR}
    read = [
        line("2024-11-10T23:00:00.000Z", "hello", {}),
        line("2024-11-10T23:00:20.000Z", "update", {}),
        line("2024-11-11T07:00:30.000Z", "health", step),
        line("2024-11-11T08:00:00.000Z", "stats", {"duration_s": 3600.0}),
        line("2024-11-11T08:10:00.000Z", "health", step | {"shift_ms": 120_000}),
        line("2024-11-11T09:00:00.000Z", "stats", {"duration_s": 7080.0, "final": True}),
    ][seen_from:]
    [time] = scored_times(read, unix_ms(read[-1].time), HOUR / 1000).values()
    begins = ("2024-11-10T23:00:00.000Z", "2024-11-11T07:00:30.000Z", "2024-11-11T08:10:00.000Z")
    ends = ("2024-11-10T23:00:30.000Z", "2024-11-11T08:08:00.000Z", "2024-11-11T09:00:00.000Z")
    assert time.scored == tuple(zip(map(unix_ms, begins), map(unix_ms, ends), strict=True))


@pytest.mark.parametrize("step", [{"reason": "clock_step", "shift_ms": -120_000}, {"reason": "drift", "shift_ms": 250}])
def test_a_drift_and_a_clock_that_is_set_back_skip_no_time(step: dict[str, object]) -> None:
    read = [
        line("2024-11-11T07:00:00.000Z", "hello", {}),
        line("2024-11-11T07:30:00.000Z", "health", {"state": "reanchored"} | step),
        line("2024-11-11T08:00:00.000Z", "stats", {"duration_s": 3600.0}),
    ]
    [time] = scored_times(read, unix_ms(read[-1].time), HOUR / 1000).values()
    assert time.scored == ((unix_ms(read[0].time), unix_ms(read[-1].time)),)
