"""Status of all parts, derived from lines."""

from __future__ import annotations

from typing import Any

import pytest

from soundwatch.daemon.core.records.source import SourceTransition
from soundwatch.daemon.events.health_schema import JournalHealthLine, OverloadLine, QualityLine, SourceHealthLine
from soundwatch.daemon.events.schema import EventLine, GapLine, HelloLine, Line, StatsLine
from soundwatch.daemon.status.snapshot import StatusSnapshot, StatusTracker, apply_line

SHARED: dict[str, Any] = {"seq": 1, "time": "2026-11-26T00:00:00.000Z", "node": "n"}
OF_MIC: dict[str, Any] = SHARED | {"source": "mic"}


def hello() -> HelloLine:
    return HelloLine(
        **OF_MIC,
        stream_start=SHARED["time"],
        version="0",
        model="m",
        provider="p",
        classes=("siren",),
        thresholds={},
        description="d",
        source_rate_hz=1,
        source_channels=1,
        window_s=4.0,
        hop_s=1.0,
    )


def event(kind: Any, name: str) -> EventLine:
    return EventLine(
        **OF_MIC,
        type=kind,
        id=name,
        class_="siren",
        class_id=0,
        score=0.9,
        peak_score=0.9,
        level_dbfs=None,
        onset=SHARED["time"],
        offset=None,
        duration_s=None,
        reason=None,
        latency_ms=0,
        model="m",
        provider="p",
    )


def health(state: Any) -> SourceHealthLine:
    return SourceHealthLine(**OF_MIC, state=state, reason="absent", detail="why", away_s=0.0, missed_s=0.0)


def after(*lines: Line) -> StatusSnapshot:
    notice = StatusTracker(("mic",))
    for line in lines:
        notice.apply(line)
    return notice.snapshot


def test_a_source_is_opening_until_its_first_line() -> None:
    assert after().sources["mic"].state == "opening"


def test_a_source_is_running_waiting_lost_paused_and_ended() -> None:
    states: list[SourceTransition | Line] = ["waiting", hello(), "lost", "back", "paused", "resumed"]
    lines: list[Line] = [health(state) if isinstance(state, str) else state for state in states]
    seen = [after(*lines[: count + 1]).sources["mic"].state for count in range(len(lines))]
    assert seen == ["waiting", "heard", "lost", "heard", "paused", "heard"]
    so_far, ended = (
        StatsLine(**OF_MIC, windows=1, duration_s=4.0, lost_s=0.0, coverage=1.0, final=final) for final in (False, True)
    )
    assert after(hello(), so_far).sources["mic"].state == "heard"
    assert after(hello(), so_far, ended).sources["mic"].state == "ended"


@pytest.mark.parametrize(
    ("states", "resumed"),
    [
        (["paused", hello()], "heard"),
        ([hello(), "paused", hello()], "heard"),
        (["waiting", "paused", hello()], "heard"),
        ([hello(), "paused", "lost"], "lost"),
        ([hello(), "paused", "lost", "back"], "heard"),
        (["paused"], "opening"),
    ],
    ids=["at the start", "another stream", "absent at the start", "lost", "lost and back", "before the first sound"],
)
def test_a_paused_source_is_paused_until_it_is_resumed(states: list[Any], resumed: str) -> None:
    lines: list[Line] = [health(state) if isinstance(state, str) else state for state in states]
    assert after(*lines).sources["mic"].state == "paused"
    assert after(*lines, health("resumed")).sources["mic"].state == resumed


def test_a_source_that_ended_while_it_was_paused_is_running_in_its_next_stream() -> None:
    ended = StatsLine(**OF_MIC, windows=1, duration_s=4.0, lost_s=0.0, coverage=1.0, final=True)
    board = after(hello(), health("paused"), ended)
    assert board.sources["mic"].state == "ended"
    assert apply_line(board, hello()).sources["mic"].state == "heard"


def test_events_that_last_are_known_and_counted_once() -> None:
    board = after(hello(), event("start", "a"), event("update", "a"), event("start", "b"), event("end", "a"))
    source = board.sources["mic"]
    assert [item.id for item in source.active] == ["b"]
    assert source.events == {"siren": 2}


def test_a_hello_ends_the_open_events_of_its_source() -> None:
    assert after(hello(), event("start", "a"), hello()).sources["mic"].active == ()


def test_faults_and_losses_of_a_source_are_in_its_status() -> None:
    faulty = QualityLine(
        **OF_MIC,
        state="poor",
        faults=("silent",),
        level_dbfs=None,
        floor_dbfs=None,
        peak_dbfs=None,
        dc_offset=0.0,
        clipped_share=0.0,
        same_channels=False,
        measured_hz=None,
        zeros_ms=0,
        waited_ms=0,
    )
    gap = GapLine(**OF_MIC, start=SHARED["time"], duration_s=2.5, reason="capture")
    source = after(hello(), faulty, gap, gap).sources["mic"]
    assert source.faults == ("silent",)
    assert (source.gaps, source.lost_s) == (2, 5.0)


def test_the_machines_and_the_journals_health_are_everybodys() -> None:
    slow = OverloadLine(**SHARED, state="degraded", hop_s=2.0, behind_ms=1000, dropped_windows=0)
    full = JournalHealthLine(**SHARED, state="failing", detail="full", dropped_lines=3)
    board = after(slow, full)
    assert board.overload == slow
    assert board.journal == full


def test_a_board_is_never_changed_under_its_readers() -> None:
    before = after(hello())
    apply_line(before, event("start", "a"))
    assert before.sources["mic"].active == ()
