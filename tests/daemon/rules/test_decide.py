"""Decisions of alert rules about lines."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.rules.decide import decide
from soundwatch.daemon.rules.rule_set import rules_of
from soundwatch.daemon.rules.state import RulesState
from support.rule_lines import Lines, configured, rule_set

SEND = "then: {send: ['json:a']}"


HOUR_S = 3600


def test_a_rule_without_conditions_sends_once_for_each_event() -> None:
    lines = Lines()
    lines.event("siren", 0, 10)
    lines.event("siren", 100, 110)
    lines.add("stats", 200)
    assert lines.sent(rule_set(f"{{any: {{{SEND}}}}}")) == [("any", 1), ("any", 3)]


@pytest.mark.parametrize(
    ("when", "sends"),
    [
        ("classes: [siren]", True),
        ("classes: [dog_bark]", False),
        ("groups: [traffic]", True),
        ("groups: [music]", False),
        ("groups: [music], classes: [siren]", True),
        ("tags: [alarm]", True),
        ("tags: [alarm], min_tag_score: 0.8", False),
        ("tags: [glass]", False),
        ("sources: [mic0]", True),
        ("sources: [yard]", False),
        ("min_score: 0.9", True),
        ("min_score: 0.91", False),
        ("min_level_dbfs: -30", True),
        ("min_level_dbfs: -29.9", False),
        ("min_level_dba: 71.5", True),
        ("min_level_dba: 71.6", False),
        ("min_duration_s: 10", True),
        ("min_duration_s: 10.1", False),
        ("during: [{from: '11:00', to: '13:00'}]", True),
        ("during: [{from: '13:00', to: '11:00'}]", False),
        ("during: [{days: [mon]}]", True),
        ("during: [{days: [tue, sun]}]", False),
        ("during: [{days: [tue]}, {from: '12:00', to: '12:01'}]", True),
        ("faults: [gap]", False),
    ],
)
def test_each_condition_is_compared_with_the_line(when: str, sends: bool) -> None:
    lines = Lines()
    lines.event("siren", 0, 10, also={"alarm": 0.7, "wind": 0.2}, level_dba=71.5)
    assert bool(lines.sent(rule_set(f"{{r: {{when: {{{when}}}, {SEND}}}}}"))) == sends


def test_a_level_that_is_unknown_matches_no_condition_of_the_level() -> None:
    lines = Lines()
    lines.event("siren", 0, 10, level_dbfs=None)
    lines.event("siren", 100, 110, level_dbfs=None, level_dba=None)
    assert lines.sent(rule_set(f"{{r: {{when: {{min_level_dbfs: -90}}, {SEND}}}}}")) == []
    assert lines.sent(rule_set(f"{{r: {{when: {{min_level_dba: -90}}, {SEND}}}}}")) == []


def test_a_duration_is_decided_with_the_first_line_that_shows_it() -> None:
    lines = Lines()
    id_ = lines.event("siren", 0)
    shared = {"id": id_, "source": "mic0", "class": "siren", "onset": "2026-11-23T12:00:00.000Z", "duration_s": None}
    lines.add("update", 10, **shared)
    lines.add("update", 20, **shared)
    lines.add("end", 25, **(shared | {"duration_s": 25.0}))
    assert lines.sent(rule_set(f"{{r: {{when: {{min_duration_s: 15}}, {SEND}}}}}")) == [("r", 3)]


def test_a_score_that_rises_later_is_decided_then_and_once() -> None:
    lines = Lines()
    id_ = lines.event("siren", 0, peak_score=0.6)
    for at_s in (10, 20):
        lines.add("update", at_s, id=id_, source="mic0", peak_score=0.95, **{"class": "siren"})
    assert lines.sent(rule_set(f"{{r: {{when: {{min_score: 0.9}}, {SEND}}}}}")) == [("r", 2)]


def test_three_events_within_the_time_send_and_the_count_starts_over() -> None:
    lines = Lines()
    for at_s in (0, 700, 800, 900, 950, 1000, 1050):
        lines.event("dog_bark", at_s, at_s + 5)
    rules = rule_set(f"{{r: {{when: {{count: {{times: 3, within_s: 600}}}}, not_when: {{cooldown_s: 0}}, {SEND}}}}}")
    assert lines.sent(rules) == [("r", 7), ("r", 13)]


def test_an_event_with_many_lines_counts_once() -> None:
    lines = Lines()
    id_ = lines.event("dog_bark", 0)
    for at_s in (10, 20, 30):
        lines.add("update", at_s, id=id_, source="mic0", **{"class": "dog_bark"})
    assert lines.sent(rule_set(f"{{r: {{when: {{count: {{times: 2, within_s: 600}}}}, {SEND}}}}}")) == []


def test_events_that_do_not_match_do_not_count() -> None:
    lines = Lines()
    for class_ in ("siren", "dog_bark", "siren"):
        lines.event(class_, 0, 5)
    rules = rule_set(f"{{r: {{when: {{classes: [dog_bark], count: {{times: 2, within_s: 600}}}}, {SEND}}}}}")
    assert lines.sent(rules) == []


def test_a_cooldown_counts_for_each_class_and_source() -> None:
    lines = Lines()
    lines.event("siren", 0, 5)
    lines.event("siren", 30, 35)
    lines.event("dog_bark", 40, 45)
    lines.event("siren", 50, 55, source="yard")
    lines.event("siren", 60, 65)
    rules = rule_set(f"{{r: {{not_when: {{cooldown_s: 60}}, {SEND}}}}}")
    assert lines.sent(rules) == [("r", 1), ("r", 5), ("r", 7), ("r", 9)]
    assert lines.held(rules) == [("r", 3, "not_when.cooldown_s")]


def test_quiet_hours_hold() -> None:
    lines = Lines()
    lines.event("siren", 0, 5)
    rules = rule_set(f"{{r: {{not_when: {{during: [{{from: '12:00', to: '13:00'}}]}}, {SEND}}}}}")
    assert lines.held(rules) == [("r", 1, "not_when.during")]


def test_a_sound_that_goes_on_is_held_unless_asked_for() -> None:
    lines = Lines()
    lines.event("siren", 0, 5, continues="01")
    assert lines.held(rule_set(f"{{r: {{{SEND}}}}}")) == [("r", 1, "not_when.continues")]
    assert lines.sent(rule_set(f"{{r: {{not_when: {{continues: false}}, {SEND}}}}}")) == [("r", 1)]


@pytest.mark.parametrize("first", ["loud", "quiet"])
def test_another_rule_that_has_sent_holds_also_for_the_same_line(first: str) -> None:
    lines = Lines()
    lines.event("siren", 0, 5)
    lines.event("siren", 100, 105)
    lines.event("siren", 200, 205)
    loud = f"loud: {{when: {{classes: [siren]}}, not_when: {{cooldown_s: 150}}, {SEND}}}"
    quiet = f"quiet: {{not_when: {{cooldown_s: 0, after: {{rule: loud, within_s: 110}}}}, {SEND}}}"
    rules = rule_set(f"{{{loud}, {quiet}}}" if first == "loud" else f"{{{quiet}, {loud}}}")
    sent = lines.sent(rules)
    assert [seq for rule, seq in sent if rule == "loud"] == [1, 5]
    assert [seq for rule, seq in sent if rule == "quiet"] == ([] if first == "loud" else [1, 5])


def test_a_rule_without_a_limit_of_its_own_sends_twenty_messages_an_hour() -> None:
    lines = Lines()
    for number in range(100):
        lines.event("siren", number * 60, number * 60 + 5)
    rules = rule_set(f"{{r: {{not_when: {{cooldown_s: 0}}, {SEND}}}}}")
    assert len(lines.sent(rules)) == 20 + 20
    assert {reason for _, _, reason in lines.held(rules)} == {"then.limit"}


@pytest.mark.parametrize(
    ("fault", "type_", "fields"),
    [
        ("source_lost", "health", {"source": "mic0", "state": "lost", "reason": "stalled", "detail": "gone"}),
        ("source_back", "health", {"source": "mic0", "state": "back", "reason": "ended", "detail": "there"}),
        ("audio_poor", "health", {"source": "mic0", "state": "poor", "faults": ["silent"]}),
        ("overload", "health", {"source": None, "state": "degraded", "reason": "overload"}),
        ("journal_failing", "health", {"source": None, "state": "failing", "reason": "journal", "detail": "full"}),
        ("reload_refused", "health", {"source": None, "state": "refused", "reason": "configuration"}),
        ("gap", "gap", {"source": "mic0", "start": "2026-11-23T12:00:00.000Z", "duration_s": 3.0}),
    ],
)
def test_a_fault_sends_to_a_rule_about_it(fault: str, type_: str, fields: dict[str, object]) -> None:
    lines = Lines()
    lines.add(type_, 0, **fields)
    lines.event("siren", 1, 2)
    assert lines.sent(rule_set(f"{{r: {{when: {{faults: [{fault}]}}, {SEND}}}}}")) == [("r", 1)]
    assert lines.sent(rule_set(f"{{r: {{{SEND}}}}}")) == [("r", 2)]


def test_a_schedule_mutes_a_rule_while_the_configuration_has_it() -> None:
    text = "{dogs: {not_when: {cooldown_s: 0}, then: {send: ['json:a']}}, all: {not_when: {cooldown_s: 0}}}"
    schedules = "schedules: {night: {when: [{}], then: {mute_rules: [dogs]}}}"
    lines = Lines()
    lines.event("dog_bark", 0, 1)
    lines.add("health", 2, source=None, state="muted", reason="rules", rules=["dogs", "all"])
    lines.event("dog_bark", 3, 4)
    lines.add("health", 5, source=None, state="unmuted", reason="rules", rules=[])
    lines.event("dog_bark", 6, 7)
    config = configured(f"{{{schedules}, rules: {text}}}")
    rules = rules_of(config, config.rules)
    assert [seq for name, seq in lines.sent(rules) if name == "dogs"] == [1, 7]
    assert [seq for name, seq in lines.sent(rules) if name == "all"] == [1, 4, 7]
    assert lines.held(rules) == [("dogs", 4, "schedules")]
    assert lines.held(rule_set(text)) == [], "a muted line of a former configuration"


def test_the_failure_of_each_sink_is_a_fault_of_its_own() -> None:
    lines = Lines()
    for at_s, sink, state in ((0, "mqtt", "failing"), (1, "webhook", "gone"), (2, "mqtt", "working")):
        lines.add("health", at_s, source=None, state=state, reason="sink", sink=sink)
    rules = rule_set("{r: {when: {faults: [sink_failing]}}, back: {when: {faults: [sink_working]}}}")
    assert lines.sent(rules) == [("r", 1), ("r", 2), ("back", 3)]


def test_a_damaged_line_is_no_fact() -> None:
    lines = Lines()
    entry = lines.add("start", 0, time="never")
    assert decide(RulesState(), entry, rule_set(f"{{r: {{{SEND}}}}}")).verdicts == ()


@pytest.mark.parametrize(
    "rule",
    [
        "when: {classes: [siren]}, not_when: {cooldown_s: 900}",
        "not_when: {cooldown_s: 0, after: {rule: other, within_s: 900}}",
        "not_when: {cooldown_s: 0}, then: {send: ['json:a'], limit: {messages: 1, within_s: 900}}",
    ],
    ids=["cooldown", "after", "limit"],
)
@pytest.mark.parametrize("ahead_s", [900, 2 * HOUR_S, 73 * 365 * 24 * HOUR_S])
def test_a_line_from_a_wrong_clock_silences_no_rule(rule: str, ahead_s: int) -> None:
    lines = Lines()
    lines.event("siren", ahead_s, ahead_s + 1)
    lines.event("siren", 0, 1)
    rules = rule_set(f"{{r: {{{rule}}}, other: {{not_when: {{cooldown_s: 0}}, {SEND}}}}}")
    assert ("r", 3) in lines.sent(rules)


def test_one_event_from_a_wrong_clock_does_not_count_with_a_later_one() -> None:
    lines = Lines()
    for at_s in (1e9, 0, 10):
        lines.event("dog_bark", at_s, at_s + 1)
    rules = rule_set(f"{{r: {{when: {{count: {{times: 2, within_s: 600}}}}, {SEND}}}}}")
    assert lines.sent(rules) == [("r", 5)]


events = st.lists(
    st.tuples(st.sampled_from(["siren", "dog_bark"]), st.integers(1, 400), st.integers(1, 90)), max_size=40
)


@settings(deadline=None, max_examples=50)
@given(events, st.data())
def test_a_fold_that_is_interrupted_anywhere_gives_equal_answers(
    found: list[tuple[str, int, int]], data: st.DataObject
) -> None:
    lines, at_s = Lines(), 0
    for class_, pause_s, duration_s in found:
        at_s += pause_s
        lines.event(class_, at_s, at_s + duration_s)
    rules = rule_set(
        f"{{a: {{when: {{count: {{times: 2, within_s: 600}}}}, {SEND}}},"
        f" b: {{not_when: {{cooldown_s: 300, after: {{rule: a, within_s: 500}}}}, {SEND}}}}}"
    )
    whole = lines.decisions(rules)
    cut = data.draw(st.integers(0, len(lines.entries)))
    state = whole[cut - 1].state if cut else RulesState()
    for entry, expected in zip(lines.entries[cut:], whole[cut:], strict=True):
        decision = decide(state, entry, rules)
        assert decision == expected
        state = decision.state


@settings(deadline=None, max_examples=50)
@given(events)
def test_no_rule_exceeds_its_limit_or_its_cooldown(found: list[tuple[str, int, int]]) -> None:
    lines, at_s, times = Lines(), 0, {}
    for class_, pause_s, duration_s in found:
        at_s += pause_s
        times[len(lines.entries) + 1] = (at_s, class_)
        lines.event(class_, at_s, at_s + duration_s)
    rules = rule_set(
        "{r: {not_when: {cooldown_s: 200}, then: {send: ['json:a'], limit: {messages: 3, within_s: 1000}}}}"
    )
    sent = [times[seq] for _, seq in lines.sent(rules)]
    for first, last in zip(sent, sent[3:], strict=False):
        assert last[0] - first[0] >= 1000
    for class_ in ("siren", "dog_bark"):
        own = [at_s for at_s, other in sent if other == class_]
        assert all(later - earlier >= 200 for earlier, later in itertools.pairwise(own))
