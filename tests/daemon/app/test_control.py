"""Schedules and commands at a clock that the test sets."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from zoneinfo import ZoneInfo

import msgspec
import pytest

from soundwatch.daemon.app.control import ControlActions, SourceControl
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.core.config import Config
from soundwatch.daemon.core.config_file import check_against_contract, load_config
from soundwatch.daemon.core.errors import ConfigError, LockedError
from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.events.health_schema import ControlLine, MuteLine
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.sinks.daemon_view import ScheduleState
from support.fakes import SMALL_CONTRACT
from support.memory_logger import MemoryLogger

ZONE = ZoneInfo("Europe/Berlin")
HEAD = "place: {time_zone: Europe/Berlin}\nsources: {office: {device: demo}, yard: {device: demo}}\n"
PAUSE = "office_hours: {when: [{from: 08:00, to: 18:00, days: [mon]}], sources: [office], then: {pause: true}}"
LOCKED = PAUSE.replace("pause: true", "pause: locked")
NIGHT = "night: {when: [{from: 22:00, to: 06:00}], then: {thresholds: {at_least: 0.9}}}"
LATE = "late: {when: [{from: 23:00, to: 01:00}], sources: [yard], then: {thresholds: {add: 0.05}}}"


def at(text: str) -> int:
    return int(datetime.datetime.fromisoformat(text).replace(tzinfo=ZONE).timestamp()) * 1_000_000_000


@dataclass(slots=True)
class Bench:
    """A control without its thread, and what it did."""

    config: Config
    now_ns: int
    listening: dict[str, bool] = field(default_factory=dict)
    adjusted: Mapping[str, tuple[ThresholdAdjustment, ...]] = field(default_factory=dict)
    lines: list[ControlLine] = field(default_factory=list)
    muted: list[tuple[str, ...]] = field(default_factory=list)
    why: list[str] = field(default_factory=list)
    log: MemoryLogger = field(default_factory=MemoryLogger)
    control: SourceControl = field(init=False)

    def __post_init__(self) -> None:
        self.listening = dict.fromkeys(self.config.sources, True)
        actions = ControlActions(self._set_listening, self._adjust, self._append, "edge1")
        self.control = SourceControl(actions, self.log, threading.RLock(), lambda: self.now_ns)
        self.control.configure(RunConfig(self.config, self.config.sources))

    def _set_listening(self, source: str, listen: bool, why: str) -> None:
        if self.listening[source] is not listen:
            self.listening[source] = listen
            self.why.append(why)

    def _adjust(self, adjustments: Mapping[str, tuple[ThresholdAdjustment, ...]]) -> None:
        self.adjusted = adjustments

    def _append(self, line: Line) -> None:
        if isinstance(line, MuteLine):
            self.muted.append(line.rules)
        else:
            assert isinstance(line, ControlLine)
            self.lines.append(line)

    def go_to(self, text: str) -> None:
        self.now_ns = at(text)
        self.control._follow_clock()

    def hears(self, source: str) -> bool:
        return self.listening[source]

    @property
    def said(self) -> list[tuple[str, str | None]]:
        return [(line.state, line.schedule) for line in self.lines]


def bench(tmp_path: Path, now: str, *schedules: str, rules: str = "{}") -> Bench:
    path = tmp_path / "config.yaml"
    path.write_text(
        HEAD
        + f"rules: {rules}\nschedules:{'' if schedules else ' {}'}\n"
        + "".join(f"  {schedule}\n" for schedule in schedules)
    )
    return Bench(load_config(path), at(now))


def test_a_source_is_paused_and_resumed_to_the_second(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T07:00", PAUSE)
    for moment, listening in (
        ("2026-11-30T07:59:59", True),
        ("2026-11-30T08:00:00", False),
        ("2026-11-30T17:59:59", False),
        ("2026-11-30T18:00:00", True),
    ):
        site.go_to(moment)
        assert site.listening == {"office": listening, "yard": True}, moment
    assert site.said == [("began", "office_hours"), ("ended", "office_hours")]
    assert site.why == ["The schedule office_hours pauses office.", "office is resumed: no schedule pauses it."]
    assert [entry["state"] for entry in site.log.fields("schedule_changed")] == ["began", "ended"]


def test_a_start_inside_a_window_is_right_at_once(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    assert not site.hears("office")
    assert site.said == [("began", "office_hours")]


def test_a_suspend_or_a_step_of_the_clock_gives_the_state_of_the_moment(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.go_to("2026-11-30T19:00")
    assert site.hears("office")
    site.go_to("2026-11-30T12:00")
    assert not site.hears("office"), "the clock was set back into the window"
    site.go_to("2026-12-07T12:00")
    assert not site.hears("office"), "a suspend from one window to the next"
    assert site.said == [("began", "office_hours"), ("ended", "office_hours"), ("began", "office_hours")]


def test_a_second_look_changes_nothing(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T23:30", NIGHT, LATE)
    lines, adjusted = len(site.lines), site.adjusted
    for _ in range(3):
        site.go_to("2026-11-30T23:30:01")
    assert (len(site.lines), site.adjusted) == (lines, adjusted)


def test_overlapping_schedules_follow_each_other_in_the_order_of_the_file(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T23:30", NIGHT, LATE)
    night, late = ThresholdAdjustment("schedule night", at_least=0.9), ThresholdAdjustment("schedule late", add=0.05)
    assert dict(site.adjusted) == {"office": (night,), "yard": (night, late)}
    site.go_to("2026-12-01T01:00")
    assert dict(site.adjusted) == {"office": (night,), "yard": (night,)}
    site.go_to("2026-12-01T06:00")
    assert site.adjusted == {}


def test_the_nights_of_the_changes_of_the_clock_end_at_six(tmp_path: Path) -> None:
    for evening, morning in (("2026-03-28T22:00", "2026-03-29T06:00"), ("2026-10-24T22:00", "2026-10-25T06:00")):
        site = bench(tmp_path, evening, NIGHT)
        site.now_ns = at(morning) - 1
        site.control._follow_clock()
        assert site.adjusted != {}
        site.go_to(morning)
        assert site.adjusted == {}


def test_what_a_person_has_paused_no_schedule_resumes(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T07:00", PAUSE)
    site.control.set_listening("office", False)
    site.go_to("2026-11-30T12:00")
    site.go_to("2026-11-30T18:00")
    assert not site.hears("office")
    site.control.set_listening("office", True)
    assert site.hears("office")


def test_what_a_person_resumes_goes_on_until_the_next_change_of_a_schedule(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_listening("office", True)
    site.go_to("2026-11-30T12:00:05")
    assert site.hears("office")
    site.go_to("2026-11-30T18:00")
    site.go_to("2026-12-07T08:00")
    assert not site.hears("office")


def test_a_schedule_is_disabled_and_enabled_by_hand(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_schedule("office_hours", False)
    assert site.hears("office")
    assert site.control.state().schedules == {"office_hours": ScheduleState(enabled=False, active=False)}
    site.control.set_schedule("office_hours", False)
    site.control.set_schedule("office_hours", True)
    assert not site.hears("office")
    assert [state for state, _ in site.said] == ["began", "disabled", "ended", "enabled", "began"]


def test_nobody_resumes_what_a_locked_schedule_pauses_and_nobody_disables_the_schedule(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", LOCKED)
    with pytest.raises(LockedError, match="office_hours pauses office and is locked"):
        site.control.set_listening("office", True)
    with pytest.raises(LockedError, match="office_hours is locked; only the file disables it"):
        site.control.set_schedule("office_hours", False)
    site.control.set_listening("office", False)
    assert not site.hears("office")
    site.go_to("2026-11-30T18:00")
    assert not site.hears("office"), "a person has paused the source too"
    site.control.set_listening("office", True)
    assert site.hears("office")


def test_a_locked_schedule_that_is_disabled_in_the_file_is_switched_by_hand(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", LOCKED.replace("when:", "enabled: false, when:"))
    site.control.set_schedule("office_hours", True)
    assert not site.hears("office")
    site.control.set_schedule("office_hours", False)
    assert site.hears("office")


def test_a_source_that_a_person_has_resumed_is_paused_when_a_locked_schedule_begins(tmp_path: Path) -> None:
    always = "always: {when: [{}], then: {pause: true}}"
    site = bench(tmp_path, "2026-11-30T07:00", always, LOCKED)
    site.control.set_listening("office", True)
    assert site.hears("office")
    site.go_to("2026-11-30T08:00")
    assert not site.hears("office")


def test_a_reload_that_locks_a_schedule_pauses_a_source_that_a_person_has_resumed(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_listening("office", True)
    config = bench(tmp_path, "2026-11-30T12:00", LOCKED).config
    site.control.configure(RunConfig(config, config.sources))
    assert not site.hears("office")


def test_an_offset_comes_after_the_schedules_and_is_told_once(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T23:30", NIGHT)
    site.control.set_offset("yard", -0.05)
    site.control.set_offset("yard", -0.05)
    night = ThresholdAdjustment("schedule night", at_least=0.9)
    assert list(site.adjusted["yard"]) == [night, ThresholdAdjustment("threshold offset", add=-0.05)]
    assert site.control.state().offsets == {"office": 0.0, "yard": -0.05}
    [line] = [line for line in site.lines if line.reason == "threshold_offset"]
    assert (line.source, line.threshold_offset, line.state) == ("yard", -0.05, "changed")
    site.control.set_offset("yard", 0.0)
    assert list(site.adjusted["yard"]) == [night]


def test_other_schedules_apply_at_once_and_a_source_that_is_opened_again_stays_paused(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE, NIGHT)
    site.listening["office"] = True  # as a source that was opened again
    site.control.configure(RunConfig(site.config, site.config.sources))
    assert not site.hears("office")
    without = msgspec.structs.replace(site.config, schedules={})
    site.control.configure(RunConfig(without, without.sources))
    assert site.hears("office")
    assert site.said == [("began", "office_hours"), ("ended", "office_hours")]


def test_the_thread_follows_the_clock_and_survives_a_failure(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T07:59", PAUSE)
    seen, failures = threading.Event(), list[int]()

    def adjust(_: object) -> None:
        if not failures:
            failures.append(1)
            raise OSError("no")

    def set_listening(_: str, listen: bool, __: str) -> None:
        if not listen:
            seen.set()

    actions = ControlActions(set_listening, adjust, site.lines.append, "edge1")  # type: ignore[arg-type]
    now_ns = [at("2026-11-30T07:59")]
    control = SourceControl(actions, site.log, threading.RLock(), lambda: now_ns[0])
    with pytest.raises(OSError, match="no"):
        control.configure(RunConfig(site.config, site.config.sources))
    control.start(RunConfig(site.config, site.config.sources))
    now_ns[0] = at("2026-11-30T08:00")
    assert seen.wait(60)
    control.close()


def test_muted_rules_are_written_at_the_start_and_at_each_change(tmp_path: Path) -> None:
    lunch = "lunch: {when: [{from: 12:00, to: 13:00}], then: {mute_rules: [dogs]}}"
    night = "night: {when: [{from: 12:30, to: 14:00}], then: {mute_rules: [sirens, dogs]}}"
    site = bench(tmp_path, "2026-11-30T11:59", lunch, night, rules="{dogs: {then: {send: [json:a]}}, sirens: {}}")
    for time in ("12:00", "12:30", "13:00", "14:00", "15:00"):
        site.go_to(f"2026-11-30T{time}")
    assert site.muted == [(), ("dogs",), ("dogs", "sirens"), ("sirens", "dogs"), ()]
    site.control.set_schedule("lunch", False)
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


def _fail(*_: object) -> None:
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
        ("a: {when: [{}], thn: {pause: true}}", r"`schedules\[...\].thn` is not a key; did you mean `then`"),
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
