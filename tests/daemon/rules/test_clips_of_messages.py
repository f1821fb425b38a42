"""Messages of alert rules that wait for the clip of their event."""

from __future__ import annotations

import pytest

from soundwatch.daemon.rules.rule_set import rules_of
from support.rule_lines import Lines, configured, rule_set


def test_a_message_with_a_clip_is_due_with_the_clip() -> None:
    lines = Lines()
    id_ = lines.event("siren", 0, 5)
    lines.add("clip", 8, id=id_, source="mic0", path="/clips/1.flac", file="1.flac", **{"class": "siren"})
    decisions = lines.decisions(rule_set("{r: {then: {send: ['json:a'], clip: attach}}}"))
    assert [len(decision.due) for decision in decisions] == [0, 0, 1]
    [due] = decisions[2].due
    assert (due.facts.seq, due.clip_path) == (1, "/clips/1.flac")


@pytest.mark.parametrize("clip", [True, False])
def test_a_message_that_waited_for_its_clip_is_held_where_its_rule_is_muted_by_then(clip: bool) -> None:
    schedules = "schedules: {night: {when: [{}], then: {mute_rules: [a]}}}"
    config = configured(
        f"{{clips: {{folder: c}}, {schedules}, rules: {{a: {{then: {{send: ['json:a'], clip: attach}}}}}}}}"
    )
    lines = Lines()
    id_ = lines.event("siren", 0)
    lines.add("health", 5, source=None, state="muted", reason="rules", rules=["a"])
    if clip:
        lines.add("clip", 300, id=id_, source="mic0", path="/clips/1.flac", **{"class": "siren"})
    else:
        lines.add("stats", 700)
    decisions = lines.decisions(rules_of(config, config.rules))
    own = decisions[-1].state.of("a")
    assert not any(decision.due for decision in decisions)
    assert (own.waiting, own.held, own.sent_total) == ({}, {"schedules": 1}, 0)


def test_a_message_does_not_grow_old_while_it_waits_for_its_clip() -> None:
    lines = Lines()
    first = lines.event("siren", 0)
    lines.add("clip", 400, id=first, source="mic0", path="/clips/1.flac", **{"class": "siren"})
    second = lines.event("siren", 1000)
    lines.add("stats", 2000)
    rules = rule_set("{r: {not_when: {cooldown_s: 0}, then: {send: ['json:a'], clip: attach}}}")
    due = [one for decision in lines.decisions(rules) for one in decision.due]
    begin_ns = due[0].facts.unix_ns
    assert [(one.facts.id, (one.due_ns - begin_ns) / 1e9, one.clip_fault) for one in due] == [
        (first, 400, ""),
        (second, 1600, "no clip came within 600 s"),
    ]


def test_a_message_of_a_sound_without_clips_does_not_wait() -> None:
    rules = "rules: {r: {not_when: {cooldown_s: 0}, then: {send: ['json:a'], clip: attach}}}"
    config = configured(f"{{clips: {{folder: c}}, sources: {{mic0: {{clips: {{classes: [siren]}}}}}}, {rules}}}")
    lines = Lines()
    lines.event("siren", 0)
    lines.event("dog_bark", 1)
    lines.event("dog_bark", 2, source="other")
    due = [[one.clip_fault for one in decision.due] for decision in lines.decisions(rules_of(config, config.rules))]
    assert due == [[], ["clips of this sound are off"], []]


def test_a_clip_that_comes_before_the_decision_is_attached_too() -> None:
    lines = Lines()
    id_ = lines.event("siren", 0)
    lines.add("clip", 40, id=id_, source="mic0", path="/clips/1.flac", **{"class": "siren"})
    lines.add("end", 60, id=id_, source="mic0", duration_s=60.0, **{"class": "siren"})
    rules = rule_set("{r: {when: {min_duration_s: 60}, then: {send: ['json:a'], clip: attach}}}")
    assert [[due.clip_path for due in decision.due] for decision in lines.decisions(rules)] == [
        [],
        [],
        ["/clips/1.flac"],
    ]


def test_a_clip_that_never_comes_delays_the_message_and_does_not_lose_it() -> None:
    lines = Lines()
    lines.event("siren", 0, 5)
    lines.event("dog_bark", 700, 705)
    rules = rule_set("{r: {when: {classes: [siren]}, then: {send: ['json:a'], clip: attach}}}")
    assert [len(decision.due) for decision in lines.decisions(rules)] == [0, 0, 1, 0]


def test_a_message_whose_clip_never_comes_is_due_with_a_line_that_no_rule_can_match() -> None:
    lines = Lines()
    lines.event("siren", 0, 5)
    lines.add("stats", 300)
    lines.add("stats", 650, time="never")
    lines.add("of_a_later_release", 690)  # a fold of the journal does not read it
    lines.add("stats", 700)
    lines.add("stats", 1300)
    rules = rule_set("{r: {then: {send: ['json:a'], clip: attach}}}")
    assert [len(decision.due) for decision in lines.decisions(rules)] == [0, 0, 0, 0, 0, 1, 0]


def test_a_message_of_a_wrong_clock_does_not_wait_for_ever_for_its_clip() -> None:
    lines = Lines()
    lines.event("siren", 1e9)
    lines.add("stats", 0)
    rules = rule_set("{r: {then: {send: ['json:a'], clip: attach}}}")
    assert [[due.clip_fault for due in decision.due] for decision in lines.decisions(rules)] == [
        [],
        ["no clip came within 600 s"],
    ]
