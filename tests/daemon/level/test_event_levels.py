"""Levels of events from the levels of seconds."""

from __future__ import annotations

import pytest

from soundwatch.daemon.core.records.event import Event, EventType
from soundwatch.daemon.level.event_levels import EventLevels
from soundwatch.daemon.level.meter import SecondLevel

RATE_HZ = 1000


def second(number: int, value: float, coverage: float = 1.0) -> SecondLevel:
    end_sample = (number + 1) * 48_000
    return SecondLevel(end_sample, 48_000, round(48_000 * coverage), value, value, value, 2 * value, value, ())


def event(type_: EventType, decision_s: float, onset_s: float = 4.0) -> Event:
    return Event(type_, "siren", 0, 0.9, 0.9, None, round(decision_s * RATE_HZ), round(onset_s * RATE_HZ))


@pytest.fixture
def levels() -> EventLevels:
    found = EventLevels(RATE_HZ, 4 * RATE_HZ)
    for number in range(10):
        found.add(second(number, float(number)))
    return found


def test_the_level_is_the_mean_of_the_deciding_window_and_the_peak_counts_from_the_onset(levels: EventLevels) -> None:
    assert levels.of_event(event("start", 6.0)) == (3.5, 10.0)  # seconds 2 to 5, and of these 4 and 5


def test_the_peak_of_an_event_is_kept_until_its_end(levels: EventLevels) -> None:
    levels.add(second(10, 50.0))
    assert levels.of_event(event("update", 11.0))[1] == 100.0
    for number in range(11, 2000):
        levels.add(second(number, 1.0))
    assert levels.of_event(event("end", 2000.0)) == (1.0, 100.0)
    assert levels.of_event(event("start", 2000.0, onset_s=1999.0)) == (1.0, 2.0)


def test_seconds_count_by_their_coverage() -> None:
    levels = EventLevels(RATE_HZ, 2 * RATE_HZ)
    levels.add(second(0, 1.0))
    levels.add(second(1, 4.0, coverage=0.5))
    assert levels.of_event(event("start", 2.0, onset_s=0.0))[0] == pytest.approx(2.0)


def test_an_event_without_a_measured_second_has_no_level(levels: EventLevels) -> None:
    assert levels.of_event(event("start", 100.0, onset_s=99.0)) == (0.0, 0.0)
