"""Events of a level: runs, hysteresis, cooldown, longest duration, updates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from soundwatch.daemon.core.records.event import Event
from soundwatch.daemon.level.margin import (
    MarginRule,
    MarginState,
    MarginStep,
    decide_margin,
    end_margin,
    margin_score,
)

RULE = MarginRule(
    label="loud",
    class_id=10,
    min_steps=2,
    hysteresis_db=6.0,
    release_steps=3,
    max_duration_samples=2000,
    cooldown_samples=300,
    update_samples=1000,
)
STEP = 100


def run(*excesses_db: float, rule: MarginRule = RULE) -> tuple[MarginState, list[Event]]:
    """Decide steps of 100 samples, and return the last state and all events."""
    state, events = MarginState(), list[Event]()
    for number, excess_db in enumerate(excesses_db):
        step = MarginStep(number * STEP, (number + 1) * STEP, excess_db, -40.0)
        state, event = decide_margin(state, rule, step)
        events += [] if event is None else [event]
    return state, events


def test_an_event_starts_after_enough_steps_in_a_row_and_its_onset_is_the_first_of_them() -> None:
    _, [start] = run(-20, 3, -1, 4, 10)
    assert (start.type, start.onset_sample, start.decision_sample) == ("start", 300, 500)
    assert (start.label, start.class_id, start.level_dbfs) == ("loud", 10, -40.0)
    assert (start.score, start.peak_score) == (0.75, 0.75)


def test_a_level_between_the_limit_and_the_hysteresis_keeps_an_event_alive() -> None:
    _, events = run(1, 1, *[-5.0] * 8)
    assert [event.type for event in events] == ["start"]


def test_an_event_ends_after_enough_steps_below_and_its_offset_is_before_them() -> None:
    _, [start, end] = run(5, 5, -7, -7, -5, -20, -20, -20)
    assert (end.type, end.reason, end.offset_sample, end.decision_sample) == ("end", "decay", 500, 800)
    assert (end.onset_sample, end.peak_score) == (start.onset_sample, 0.625)


def test_no_event_starts_in_the_cooldown() -> None:
    _, events = run(5, 5, -20, -20, -20, 5, 5, -20, 5, 5, 5)
    assert [(event.type, event.onset_sample) for event in events] == [("start", 0), ("end", 0), ("start", 800)]


def test_a_lasting_event_gives_updates_and_ends_by_its_longest_duration_and_is_continued() -> None:
    _, events = run(*[5.0] * 26)
    assert [(event.type, event.decision_sample) for event in events] == [
        ("start", 200),
        ("update", 1200),
        ("end", 2000),
        ("start", 2500),
    ]
    assert (events[2].reason, events[2].offset_sample) == ("max_duration", 2000)
    assert events[3].continues_sample == 0
    _, later = run(*[5.0] * 20, -20, *[5.0] * 5)
    assert later[-1].continues_sample is None, "the sound had ended in between"


def test_an_event_that_is_cut_off_ends_at_its_last_step() -> None:
    state, _ = run(5, 5, -20)
    end = end_margin(state, RULE, 900, "source_lost")
    assert end is not None
    assert (end.type, end.reason, end.offset_sample, end.decision_sample) == ("end", "source_lost", 200, 900)
    assert end_margin(MarginState(), RULE, 900, "source_lost") is None


@pytest.mark.parametrize(("excess_db", "score"), [(-60, 0.0), (0, 0.5), (20, 1.0), (80, 1.0)])
def test_the_score_is_a_half_at_the_limit_and_one_20_decibels_beyond(excess_db: float, score: float) -> None:
    assert margin_score(excess_db) == score


def test_a_single_step_is_enough_if_the_rule_asks_for_one() -> None:
    _, events = run(-20, 1, -20, -20, -20, rule=replace(RULE, min_steps=1))
    assert [event.type for event in events] == ["start", "end"]
