"""Digests of rules: one for each time, whatever the clock does."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.detection.rules import resolve_sources
from soundwatch.daemon.rules.check import check_rules
from soundwatch.daemon.rules.decide import decide
from soundwatch.daemon.rules.rule_set import rules_of
from soundwatch.daemon.rules.state import RulesState
from support.rule_lines import MONDAY, Lines, configured
from support.sink_harness import CONTRACT

HALF_HOUR_S = 1800.0


def seconds(text: str) -> float:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - MONDAY).total_seconds()


def sent(times_s: list[float], digest: str) -> list[str]:
    """Times of the lines that make a digest due, with a new state from the former at each line."""
    config = configured(f"{{place: {{time_zone: Europe/Berlin}}, rules: {{r: {{when: {{digest: {digest}}}}}}}}}")
    lines, found, state = Lines(), list[str](), RulesState()
    for at_s in times_s:
        entry = lines.add("stats", at_s, source="mic0")
        decision = decide(state, entry, rules_of(config, config.rules))
        state = decision.state
        found += [datetime.fromtimestamp(due.facts.unix_ns / 1e9, UTC).strftime("%m-%d %H:%M") for due in decision.due]
    return found


def every_half_hour(begin: str, end: str) -> list[float]:
    begin_s, end_s = seconds(begin), seconds(end)
    return [begin_s + HALF_HOUR_S * step for step in range(int((end_s - begin_s) / HALF_HOUR_S))]


@pytest.mark.parametrize(
    ("begin", "end", "due"),
    [
        ("2026-10-24", "2026-10-27", ["10-24 00:30", "10-25 00:30", "10-26 01:30"]),
        ("2026-03-28", "2026-03-31", ["03-28 01:30", "03-29 01:30", "03-30 00:30"]),
    ],
    ids=["repeated hour", "skipped hour"],
)
def test_a_day_has_one_digest_where_the_clock_changes(begin: str, end: str, due: list[str]) -> None:
    assert sent(every_half_hour(begin, end), "{at: '02:30'}") == due


def test_a_week_has_one_digest_on_its_day() -> None:
    times_s = every_half_hour("2026-11-20", "2026-12-06")
    assert sent(times_s, "{period: week, at: '07:30', day: wed}") == ["11-25 06:30", "12-02 06:30"]


def test_times_that_passed_while_the_program_was_off_send_one_digest() -> None:
    times_s = [seconds(text) for text in ("2026-11-20T12:00", "2026-11-24T12:00", "2026-11-24T13:00")]
    assert sent(times_s, "{}") == ["11-24 12:00"]


def test_a_clock_that_was_set_back_sends_no_digest_again() -> None:
    times_s = [
        seconds(text) for text in ("2026-11-20T06:00", "2026-11-20T07:10", "2026-11-20T06:50", "2026-11-20T07:20")
    ]
    assert sent(times_s, "{}") == ["11-20 07:10"]


def test_the_first_time_that_the_network_sets_a_clock_sends_no_digest() -> None:
    texts = ["1970-01-01T00:01", "2026-11-19T21:30", "2026-11-19T22:00", "2026-11-20T07:10"]
    assert sent([seconds(text) for text in texts], "{}") == ["11-20 07:10"]


@pytest.mark.parametrize(("digest", "wrong"), [("{}", ["01-01 12:00"]), ("{period: week, day: fri}", [])])
def test_a_machine_whose_clock_starts_in_1970_sends_no_digest_again(digest: str, wrong: list[str]) -> None:
    boot = ["1970-01-01T00:01", "1970-01-01T12:00", "2026-11-20T12:00"]
    texts = ["2026-11-19T12:00", "2026-11-20T07:10", *boot, *boot, "2026-11-20T13:00", "2026-11-27T07:10"]
    assert sent([seconds(text) for text in texts], digest) == ["11-20 07:10", *wrong, "11-27 07:10"]


@pytest.mark.parametrize("digest", ["{at: '07:00'}", "{period: week, at: '07:00', day: sat}"])
def test_a_line_from_a_wrong_clock_does_not_stop_later_digests(digest: str) -> None:
    wrong, *right = (
        seconds(text) for text in ("2099-01-01T12:00", "2026-11-20T13:00", "2026-11-21T05:00", "2026-11-21T06:10")
    )
    assert sent([right[0], wrong, *right], digest) == ["11-21 06:10"]


@pytest.mark.parametrize(
    ("when", "then", "message"),
    [
        ("digest: {}, classes: [siren]", "", "digest and classes exclude each other"),
        ("digest: {}, during: [{}]", "", "digest and during exclude each other"),
        ("digest: {}", ", clip: attach", "a digest has no clip"),
        ("digest: {at: sunset}", "", "place.latitude"),
    ],
)
def test_a_digest_with_other_conditions_is_refused(when: str, then: str, message: str) -> None:
    config = configured(f"rules: {{r: {{when: {{{when}}}, then: {{send: ['json:a']{then}}}}}}}")
    with pytest.raises(ConfigError, match=message):
        check_rules(config, CONTRACT, resolve_sources(config, CONTRACT))
