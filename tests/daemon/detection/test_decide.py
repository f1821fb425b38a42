"""The decision, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.detection.decide import DetectionRule, decide, end_active_events, initial_state
from support.fakes import SMALL_SPEC

W, HOP = SMALL_SPEC.window_samples, SMALL_SPEC.window_hop_samples  # 3200 and 800


def rule(
    threshold: float = 0.6,
    release: float = 0.4,
    confirm: int = W,
    shortest: int = 0,
    longest: int = 10**9,
    cooldown: int = 0,
    update: int = 10**9,
) -> DetectionRule:
    return DetectionRule(threshold, release, confirm, shortest, longest, cooldown, update)


def events_of(
    scores: Sequence[float | None], how: DetectionRule, reason: EndReason | None = None
) -> list[tuple[str, int, int | None, str | None]]:
    """(type, onset, offset, reason) of a class whose windows score so; None is a window with a loss."""
    return [(e.type, e.onset_sample, e.offset_sample, e.reason) for e in full_events_of(scores, how, reason)]


def full_events_of(scores: Sequence[float | None], how: DetectionRule, reason: EndReason | None = None) -> list[Event]:
    state, reported, end = initial_state((how,)), [], 0
    for number, score in enumerate(scores):
        end = number * HOP + W
        values = np.array([0.0 if score is None else score], np.float32)
        state, events = decide(
            state, Scores(values, ("bark",), number * HOP, end, score is not None), -20.0, (how,), SMALL_SPEC
        )
        reported.extend(events)
    return reported + (end_active_events(state, ("bark",), end, -20.0, reason) if reason else [])


def test_one_window_of_evidence_starts_an_event_if_one_is_required() -> None:
    assert events_of([0, 0, 0.7, 0], rule()) == [
        ("start", 2 * HOP + W - HOP, None, None),
        ("end", 2 * HOP + W - HOP, 2 * HOP + W - HOP, "decay"),
    ]


def test_overlapping_windows_add_only_the_sound_that_is_new() -> None:
    two_windows_worth = rule(confirm=2 * W)
    hops_needed = W // HOP  # four more windows after the first, each a quarter new
    assert events_of([0.0] + [0.9] * hops_needed, two_windows_worth) == []
    started = events_of([0.0] + [0.9] * (hops_needed + 1), two_windows_worth)
    assert [type_ for type_, *_ in started] == ["start"]


def test_one_high_window_is_no_event_if_two_are_required() -> None:
    assert events_of([0, 0.99, 0, 0.99, 0], rule(confirm=W + HOP)) == []


def test_an_event_continues_between_release_and_threshold() -> None:
    reported = events_of([0, 0.7, 0.5, 0.45, 0.41, 0.3], rule())
    assert [type_ for type_, *_ in reported] == ["start", "end"]
    assert reported[-1] == ("end", HOP + W - HOP, 5 * HOP, "decay")


def test_a_sound_at_the_first_sample_has_its_onset_there() -> None:
    assert events_of([0.9], rule())[0] == ("start", 0, None, None)


def test_the_onset_is_put_where_the_score_began_to_rise() -> None:
    began = 2 * HOP + W - HOP
    assert events_of([0, 0.01, 0.1, 0.3, 0.9], rule())[0] == ("start", began, None, None)
    assert events_of([0, 0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.9], rule())[0][1] == 7 * HOP, "in the run's first window"
    assert events_of([0.3, 0.3, 0.9], rule())[0][1] == began, "a level is no rise"
    assert events_of([0, 0.05, 0.9], rule())[0][1] == began, "0.05 is next to nothing"
    assert events_of([0, 0.5, 0.4, 0.9], rule())[0][1] == began + HOP, "a fall ends a rise"


def test_no_rise_reaches_back_into_the_event_before() -> None:
    reported = events_of([0, 0.9, 0.39, 0.5, 0.9], rule())
    assert [type_ for type_, *_ in reported] == ["start", "end", "start"]
    assert reported[2][1] == 3 * HOP + W - HOP


def test_an_event_is_never_shorter_than_the_minimum() -> None:
    reported = events_of([0, 0.9] + [0] * 9, rule(shortest=2 * W))
    onset, offset = reported[0][1], reported[1][2]
    assert offset is not None
    assert offset - onset >= 2 * W
    assert len(reported) == 2


def test_an_event_that_never_lets_go_is_ended_and_a_new_one_waits_for_the_cooldown() -> None:
    reported = events_of([0.9] * 30, rule(longest=2 * W, cooldown=W))
    assert [type_ for type_, *_ in reported][:3] == ["start", "end", "start"]
    assert reported[1][3] == "max_duration"
    first_end, second_onset = reported[1][2], reported[2][1]
    assert first_end is not None
    assert second_onset >= first_end


def continued(scores: Sequence[float | None], how: DetectionRule) -> list[tuple[str, int | None]]:
    return [(event.type, event.continues_sample) for event in full_events_of(scores, how, "shutdown")]


def test_an_event_continues_the_one_before_where_the_sound_never_paused() -> None:
    events = full_events_of([0.9] * 30, rule(longest=2 * W, cooldown=W), "shutdown")
    onsets = [event.onset_sample for event in events if event.type == "start"]
    starts = [event.continues_sample for event in events if event.type == "start"]
    assert starts == [None, *onsets[:-1]]
    ends = [event.continues_sample for event in events if event.type == "end"]
    assert ends == starts, "every line of an event says the same"


@pytest.mark.parametrize(
    ("scores", "how"),
    [
        ([0.9] * 12 + [0.0] + [0.9] * 12, rule(longest=2 * W, cooldown=10 * HOP)),
        ([0.9] * 8 + [0.0] * 4 + [0.9] * 4, rule()),
        ([0.9, 0.0] * 8, rule(longest=10 * W)),
    ],
    ids=["a pause within the cooldown", "an end by decay", "barks"],
)
def test_an_event_after_a_pause_is_new(scores: list[float | None], how: DetectionRule) -> None:
    assert all(sample is None for type_, sample in continued(scores, how) if type_ == "start")


def test_a_score_between_release_and_threshold_is_no_pause() -> None:
    long = rule(longest=2 * W)
    assert [sample for type_, sample in continued([0.9] * 12 + [0.5] * 3 + [0.9] * 8, long) if type_ == "start"][-1]


def test_within_the_cooldown_nothing_starts() -> None:
    barks = [0.9, 0, 0.9, 0, 0.9, 0]
    assert len(events_of(barks, rule())) == 6
    assert len(events_of(barks, rule(cooldown=10**6))) == 2


def test_updates_come_at_their_interval_with_the_peak() -> None:
    reported = full_events_of([0.7, 0.9, 0.8, 0.7, 0.7], rule(update=2 * HOP))
    assert [e.type for e in reported] == ["start", "update", "update"]
    assert [round(e.peak_score, 3) for e in reported] == [0.7, 0.9, 0.9]
    assert [round(e.score, 3) for e in reported] == [0.7, 0.8, 0.7]


def test_a_window_with_a_loss_does_not_affect_events() -> None:
    assert events_of([None] * 5, rule()) == []
    assert [type_ for type_, *_ in events_of([0.9, None, None, 0.9, 0], rule())] == ["start", "end"]
    assert events_of([0.9, None, 0.9], rule(confirm=W + HOP))[0][0] == "start"


def test_evidence_across_a_long_loss_is_no_more_than_two_windows() -> None:
    assert events_of([0.9] + [None] * 50 + [0.9], rule(confirm=2 * W + 1)) == []


def test_the_end_of_the_stream_ends_open_events_with_a_reason() -> None:
    assert events_of([0.9, 0.9], rule(), "shutdown")[-1] == ("end", 0, HOP + W, "shutdown")
    assert events_of([0.1, 0.1], rule(), "shutdown") == []


def test_an_event_has_the_highest_tags_of_the_window_with_its_peak_score() -> None:
    state, events = initial_state((rule(),)), []
    tags = ("bark", "a", "b", "c", "d")
    for number, (score, tag_scores) in enumerate(
        [
            (0.1, (0.0, 0.9, 0.9, 0.9, 0.9)),
            (0.7, (0.9, 0.1, 0.2, 0.3, 0.4)),
            (0.9, (0.9, 0.8, 0.7, 0.6, 0.5)),
            (0.8, (0.9, 0.9, 0.9, 0.9, 0.9)),
            (0.0, (0.0, 0.0, 0.0, 0.0, 1.0)),
        ]
    ):
        values, tag_values = np.array([score], np.float32), np.array(tag_scores, np.float32)
        window = Scores(values, ("bark",), number * HOP, number * HOP + W, True, tag_values, tags)
        state, now = decide(state, window, None, (rule(),), SMALL_SPEC)
        events += now
    tags_of = [(event.type, [name for name, _ in event.also]) for event in events]
    assert tags_of == [("start", ["d", "c", "b"]), ("end", ["a", "b", "c"])]


def test_classes_are_decided_each_on_its_own() -> None:
    rules = (rule(), rule(threshold=0.95))
    values = np.array([0.9, 0.9], np.float32)
    _, events = decide(initial_state(rules), Scores(values, ("a", "b"), 0, W, True), None, rules, SMALL_SPEC)
    assert [(e.label, e.class_id, e.level_dbfs) for e in events] == [("a", 0, None)]


@pytest.mark.slow
@given(
    st.lists(st.one_of(st.none(), st.floats(0, 1, width=32)), max_size=80),
    st.builds(
        rule,
        threshold=st.floats(0.5, 0.9),
        release=st.floats(0.1, 0.5),
        confirm=st.integers(1, 3 * W),
        shortest=st.integers(0, 3 * W),
        longest=st.integers(W, 10 * W),
        cooldown=st.integers(0, 3 * W),
        update=st.integers(1, 3 * W),
    ),
)
def test_every_event_starts_once_ends_once_and_its_times_are_in_order(
    scores: list[float | None], how: DetectionRule
) -> None:
    reported = full_events_of(scores, how, "shutdown")
    assert [e.decision_sample for e in reported] == sorted(e.decision_sample for e in reported)
    ended = -1
    for _, group in groupby(reported, key=lambda event: event.onset_sample):
        event = list(group)
        assert event[0].type == "start"
        assert [e.type for e in event[1:-1]] == ["update"] * (len(event) - 2)
        assert event[-1].type == "end"
        onset, offset = event[-1].onset_sample, event[-1].offset_sample
        assert offset is not None
        assert ended <= onset <= offset <= event[-1].decision_sample
        assert event[0].score >= np.float32(how.threshold) - 1e-6
        assert all(e.peak_score >= e.score for e in event)
        ended = offset
