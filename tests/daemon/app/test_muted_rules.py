"""Lines about muted rules and digests, effects that fail, and schedules that are refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.config.file import check_against_contract
from soundwatch.daemon.core.errors import ConfigError
from support.fakes import SMALL_CONTRACT
from support.schedule_bench import PAUSE, bench


def test_muted_rules_are_written_at_the_start_and_at_each_change(tmp_path: Path) -> None:
    lunch = "lunch: {when: [{from: 12:00, to: 13:00}], then: {mute_rules: [dogs]}}"
    night = "night: {when: [{from: 12:30, to: 14:00}], then: {mute_rules: [sirens, dogs]}}"
    site = bench(tmp_path, "2026-11-30T11:59", lunch, night, rules="{dogs: {then: {send: [json:a]}}, sirens: {}}")
    for time in ("12:00", "12:30", "13:00", "14:00", "15:00"):
        site.go_to(f"2026-11-30T{time}")
    assert site.muted == [(), ("dogs",), ("dogs", "sirens"), ("sirens", "dogs"), ()]
    site.control.set_schedule("lunch", on=False)
    site.go_to("2026-12-01T12:10")
    assert site.muted[-1] == ()


def test_muted_rules_are_written_again_by_a_reload_since_the_journal_may_have_dropped_the_line(
    tmp_path: Path,
) -> None:
    site = bench(tmp_path, "2026-11-30T12:10", "all: {when: [{}], then: {mute_rules: [dogs]}}", rules="{dogs: {}}")
    site.control.configure(RunConfig(site.config, site.config.sources))
    site.go_to("2026-11-30T12:20")
    assert site.muted == [("dogs",), ("dogs",)]


def test_the_time_of_a_digest_is_a_line_without_any_schedule(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T07:59", rules="{days: {when: {digest: {at: '08:00'}}}}")
    for time in ("07:59:30", "08:00", "08:00:01", "09:00"):
        site.go_to(f"2026-11-30T{time}")
    site.go_to("2026-12-01T08:00:30")
    assert [(line.state, line.reason, line.schedule) for line in site.lines] == [("due", "digest", None)] * 2


@pytest.mark.parametrize("failing", ["adjust", "set_listening"])
def test_an_effect_that_fails_is_tried_again_at_the_next_look(tmp_path: Path, failing: str) -> None:
    site = bench(tmp_path, "2026-11-30T07:59", PAUSE, "calm: {when: [{from: 08:00}], then: {thresholds: {add: 0.1}}}")
    actions = site.control._actions
    site.control._actions = (
        replace(actions, adjust=_fail) if failing == "adjust" else replace(actions, set_listening=_fail)
    )
    with pytest.raises(OSError, match="no"):
        site.go_to("2026-11-30T08:00")
    site.control._actions = actions
    site.go_to("2026-11-30T08:00:01")
    assert not site.hears("office")
    assert set(site.adjusted) == set(site.config.sources)
    assert site.said == [("began", "office_hours"), ("began", "calm")]


def _fail(*_: object, **__: object) -> None:
    raise OSError("no")


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        (
            "a: {when: [{from: 22:00}], sources: [yrad], then: {pause: true}}",
            r"'yrad' is not a source; did you mean yard",
        ),
        ("a: {when: [{from: sunset}], then: {pause: true}}", r"schedules\.a\.when\[0\]: .* place\.latitude"),
        ("a: {when: [{from: 25:00}], then: {pause: true}}", "'25:00' is not a time"),
        ("a: {then: {pause: true}}", "without a window"),
        ("a: {when: [{}], then: {mute_rules: [dogs]}}", r"then.mute_rules: 'dogs' is not a rule; the rules are none"),
        ("a: {when: [{}], then: {}}", "without effect"),
        ("a: {when: [{}], then: {thresholds: {classes: [low]}}}", "without effect"),
        ("a: {when: [{}], thn: {pause: true}}", r"`schedules.a.thn` is not a key; did you mean `then`"),
        (
            "a: {when: [{dys: [mon]}], then: {pause: true}}",
            r"when\[0\].dys` is not a key; did you mean `days`",
        ),
        ("a: {when: [{days: [mo]}], then: {pause: true}}", "Invalid enum value 'mo'"),
    ],
)
def test_a_schedule_that_cannot_apply_is_refused(tmp_path: Path, schedule: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        bench(tmp_path, "2026-11-30T12:00", schedule)


def test_a_class_of_a_schedule_that_the_model_does_not_have_is_refused(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", "a: {when: [{}], then: {thresholds: {add: 0.1, classes: [lwo]}}}")
    with pytest.raises(ConfigError, match=r"schedules\.a\.then\.thresholds\.classes\.lwo: .* did you mean low"):
        check_against_contract(site.config, SMALL_CONTRACT)
