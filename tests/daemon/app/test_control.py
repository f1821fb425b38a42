"""Schedules and commands at a clock that the test sets."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.app.control import SourceControl
from soundwatch.daemon.app.control_actions import ControlActions
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.core.errors import LockedError
from soundwatch.daemon.detection.effective import ThresholdAdjustment
from soundwatch.daemon.sinks.daemon_view import ScheduleState
from support.schedule_bench import LATE, NIGHT, PAUSE, at, bench

LOCKED = PAUSE.replace("pause: true", "pause: locked")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """The time zone of the system, which a test may change."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(("place", "listening"), [("{time_zone: Europe/Berlin}", True), ("{}", False)])
def test_schedules_follow_the_time_zone_of_the_system(
    tmp_path: Path, berlin: pytest.MonkeyPatch, place: str, listening: bool
) -> None:
    site = bench(tmp_path, "2026-11-30T07:00", PAUSE, place=place)
    berlin.setenv("TZ", "Asia/Tokyo")  # where it is 15:00
    site.go_to("2026-11-30T07:00:01")
    assert site.listening["office"] is listening
    assert [fields["zone"] for fields in site.log.fields("time_zone_changed")] == ["JST, +0900"]


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


def test_a_locked_pause_holds_at_any_time_of_a_clock_that_is_not_set(tmp_path: Path) -> None:
    site = bench(tmp_path, "1970-01-01T03:00", LOCKED, NIGHT)  # a Thursday
    assert site.listening == {"office": False, "yard": True}
    assert site.why == ["The clock was not set, so the locked schedule office_hours pauses office."]
    assert [line.detail for line in site.lines] == [
        "The clock is not set, so the locked schedule office_hours has begun.",
        "The schedule night has begun.",
    ]
    warned = [{"schedule": "office_hours", "time": "1970-01-01T02:00:00.000Z"}]
    assert site.log.fields("clock_not_set") == warned
    with pytest.raises(LockedError, match="The schedule office_hours pauses office and is locked"):
        site.control.set_listening("office", listen=True)
    site.go_to("1970-01-01T05:00")
    assert not site.hears("office")
    site.go_to("2026-11-30T19:00")  # the network sets the clock
    assert site.hears("office")
    site.go_to("2026-12-07T08:00")
    assert site.why[1:] == ["office is resumed: no schedule pauses it.", "The schedule office_hours pauses office."]
    assert site.log.fields("clock_not_set") == warned


@pytest.mark.parametrize("schedule", [PAUSE, LOCKED.replace("{when", "{enabled: false, when")])
def test_a_schedule_that_locks_nothing_follows_a_clock_that_is_not_set(tmp_path: Path, schedule: str) -> None:
    site = bench(tmp_path, "1970-01-01T03:00", schedule)
    assert site.hears("office")
    assert not site.log.fields("clock_not_set")


def test_a_locked_pause_that_begins_before_the_clock_is_set_goes_on_in_its_window(tmp_path: Path) -> None:
    site = bench(tmp_path, "1970-01-01T03:00", LOCKED)
    site.go_to("2026-11-30T12:00")
    assert not site.hears("office")
    site.go_to("2026-11-30T18:00")
    assert site.hears("office")
    assert site.said == [("began", "office_hours"), ("ended", "office_hours")]


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
    site.control.set_listening("office", listen=False)
    site.go_to("2026-11-30T12:00")
    site.go_to("2026-11-30T18:00")
    assert not site.hears("office")
    site.control.set_listening("office", listen=True)
    assert site.hears("office")


def test_what_a_person_resumes_goes_on_until_the_next_change_of_a_schedule(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_listening("office", listen=True)
    site.go_to("2026-11-30T12:00:05")
    assert site.hears("office")
    site.go_to("2026-11-30T18:00")
    site.go_to("2026-12-07T08:00")
    assert not site.hears("office")


def test_a_schedule_is_disabled_and_enabled_by_hand(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_schedule("office_hours", on=False)
    assert site.hears("office")
    assert site.control.state().schedules == {"office_hours": ScheduleState(enabled=False, active=False)}
    site.control.set_schedule("office_hours", on=False)
    site.control.set_schedule("office_hours", on=True)
    assert not site.hears("office")
    assert [state for state, _ in site.said] == ["began", "disabled", "ended", "enabled", "began"]


def test_nobody_resumes_what_a_locked_schedule_pauses_and_nobody_disables_the_schedule(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", LOCKED)
    with pytest.raises(LockedError, match="office_hours pauses office and is locked"):
        site.control.set_listening("office", listen=True)
    with pytest.raises(LockedError, match="office_hours is locked; only the file disables it"):
        site.control.set_schedule("office_hours", on=False)
    site.control.set_listening("office", listen=False)
    assert not site.hears("office")
    site.go_to("2026-11-30T18:00")
    assert not site.hears("office"), "a person has paused the source too"
    site.control.set_listening("office", listen=True)
    assert site.hears("office")


def test_a_locked_schedule_that_is_disabled_in_the_file_is_switched_by_hand(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", LOCKED.replace("when:", "enabled: false, when:"))
    site.control.set_schedule("office_hours", on=True)
    assert not site.hears("office")
    site.control.set_schedule("office_hours", on=False)
    assert site.hears("office")


def test_a_source_that_a_person_has_resumed_is_paused_when_a_locked_schedule_begins(tmp_path: Path) -> None:
    always = "always: {when: [{}], then: {pause: true}}"
    site = bench(tmp_path, "2026-11-30T07:00", always, LOCKED)
    site.control.set_listening("office", listen=True)
    assert site.hears("office")
    site.go_to("2026-11-30T08:00")
    assert not site.hears("office")


def test_a_reload_that_locks_a_schedule_pauses_a_source_that_a_person_has_resumed(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", PAUSE)
    site.control.set_listening("office", listen=True)
    config = bench(tmp_path, "2026-11-30T12:00", LOCKED).config
    site.control.configure(RunConfig(config, config.sources))
    assert not site.hears("office")


@pytest.mark.parametrize(
    ("before", "disabled", "after"),
    [(PAUSE, True, LOCKED), (LOCKED.replace("when:", "enabled: false, when:"), False, LOCKED), (LOCKED, False, LOCKED)],
    ids=["disabled by hand", "disabled in the file", "locked before"],
)
def test_a_reload_that_locks_a_schedule_ends_what_was_switched_by_hand(
    tmp_path: Path, before: str, disabled: bool, after: str
) -> None:
    for moment, paused in (("2026-11-30T12:00", True), ("2026-11-30T07:00", False)):
        site = bench(tmp_path, moment, before)
        if disabled:
            site.control.set_schedule("office_hours", on=False)
        config = bench(tmp_path, moment, after).config
        site.control.configure(RunConfig(config, config.sources))
        assert site.hears("office") is not paused
        with pytest.raises(LockedError):
            site.control.set_schedule("office_hours", on=False)
        site.control.set_schedule("office_hours", on=True)
        site.go_to("2026-11-30T12:00:01")
        assert not site.hears("office")


def test_a_reload_keeps_a_locked_schedule_enabled_that_the_file_disables(tmp_path: Path) -> None:
    site = bench(tmp_path, "2026-11-30T12:00", LOCKED.replace("when:", "enabled: false, when:"))
    site.control.set_schedule("office_hours", on=True)
    site.control.configure(RunConfig(site.config, site.config.sources))
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

    def set_listening(source: str, *, listen: bool, why: str) -> None:
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
