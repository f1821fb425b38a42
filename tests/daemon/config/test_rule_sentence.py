"""Rules in words."""

from __future__ import annotations

import pytest

from soundwatch.daemon.config.rule_sentence import duration_text, rule_sentence
from support.rule_lines import configured


@pytest.mark.parametrize(
    ("rule", "sentence"),
    [
        (
            "then: {}",
            "Any sound: a message. Not within 1 min after a message about the class and source; not for a sound that "
            "goes on; at most 20 messages in 1 h.",
        ),
        (
            "when: {classes: [dog_bark], groups: [traffic], sources: [yard], min_score: 0.9, min_duration_s: 30, "
            "count: {times: 3, within_s: 600}, during: [{from: sunset, to: sunrise}]}, "
            "not_when: {cooldown_s: 0, continues: false, after: {rule: other, within_s: 90}}, then: {clip: attach}",
            "Dog bark or any traffic sound, at yard, with a score of 0.9 or more, for 30 s or longer, 3 times within "
            "10 min, from sunset to sunrise: a message with its clip. Not within 90 s after a message of other; "
            "at most 20 messages in 1 h.",
        ),
        (
            "when: {faults: [source_lost, gap]}, "
            "not_when: {during: [{from: '22:00', to: '06:00', days: [sat]}, {days: [sun]}]}",
            "Source lost or gap: a message. Not from 22:00 to 06:00 on Saturday or on Sunday; not within 1 min "
            "after a message about the class and source; at most 20 messages in 1 h.",
        ),
    ],
)
def test_a_rule_is_a_sentence(rule: str, sentence: str) -> None:
    assert rule_sentence(configured(f"rules: {{r: {{{rule}}}}}").rules["r"], "en") == sentence


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (90, "90 s"), (900, "15 min"), (7200, "2 h"), (86_400, "1 day"), (604_800, "7 days")],
)
def test_a_duration_has_the_largest_whole_unit(seconds: float, text: str) -> None:
    assert duration_text(seconds, "en") == text
