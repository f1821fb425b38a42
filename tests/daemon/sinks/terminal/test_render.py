"""Rows of the live view at every size of the terminal."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.source import DEMO_DESCRIPTION
from soundwatch.daemon.events.health_schema import JournalHealthLine, OverloadLine
from soundwatch.daemon.sinks.protocols import SinkStatus
from soundwatch.daemon.sinks.terminal.render import ViewState, bar, render, to_encoding
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot
from support.journal_factory import TIME, event, hello
from support.level_factory import level_line

NOW = datetime(2026, 9, 21, 14, 13, 31, tzinfo=UTC)
LABELS = ("dog_bark", "siren", "drilling", "gun_shot")


def reading(name: str, level_dbfs: float | None = -40.0) -> WindowResult:
    values = np.array([0.1, 0.9, 0.3, 0.2], np.float32)
    return WindowResult(name, 0, LABELS, values, level_dbfs, 0, 1, 4.0, 0.0)


def view_state(*names: str, **changes: Any) -> ViewState:
    running = SourceStatus(state="heard", hello=hello(*LABELS))
    snapshot = StatusSnapshot(dict.fromkeys(names, running))
    latest = {name: reading(name) for name in names}
    return replace(ViewState("balcony", snapshot, latest, [], [(SinkStatus("stdout"), 0)], [], NOW), **changes)


def shown(state: ViewState, width: int = 100, height: int = 30) -> list[str]:
    return [line.plain.rstrip() for line in render(state, width, height)]


def as_dicts(*events: Any) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(event) for event in events]


def test_a_source_shows_its_level_and_its_highest_classes_with_thresholds() -> None:
    lines = shown(view_state("mic0"))
    assert "soundwatch" in lines[0]
    assert "balcony" in lines[0]
    assert lines[0].endswith("14:13:31")
    assert "mic0" in lines[2]
    assert "-40 dBFS" in lines[2]
    assert [line.split()[0] for line in lines[3:6]] == ["siren", "drilling", "gun_shot"]
    assert lines[3].endswith("0.90  of 0.50")


def test_a_metered_source_shows_the_sound_level_of_the_last_second() -> None:
    for calibrated, unit in ((True, "dB"), (False, "dBFS")):
        lines = shown(view_state("mic0", "yard", levels={"mic0": level_line(-41.2, calibrated=calibrated)}))
        assert lines[2].endswith(f" LAeq -41.2  LAFmax -41.2 {unit}")
        assert lines[6].endswith("-40 dBFS")


def test_a_source_shows_its_highest_tags_below_its_classes() -> None:
    tags, values = ("speech", "music", "rain", "bell"), np.array([0.5, 0.75, 0.25, 0.0], np.float32)
    latest = {"mic0": replace(reading("mic0"), tags=tags, tag_values=values)}
    lines = shown(view_state("mic0", latest=latest))
    assert lines[6] == "   also music 0.75, speech 0.50, rain 0.25"
    assert not any("also" in line for line in shown(view_state("mic0", latest=latest), height=10))


def test_active_events_show_their_duration_so_far_and_ended_ones_their_reason() -> None:
    state = view_state("mic0", events=as_dicts(event("B", "siren", "start"), event("A", "dog_bark", "end")))
    lines = shown(state)
    [active] = [line for line in lines if line.endswith("active")]
    assert "siren" in active
    assert "10.0 s" in active
    assert any("dog_bark" in line and line.endswith("decay") for line in lines)


def test_a_lost_source_shows_the_reason_and_no_old_level() -> None:
    lost = SourceStatus(state="lost", detail="It was unplugged.", hello=hello(*LABELS))
    state = view_state("mic0", snapshot=StatusSnapshot({"mic0": lost}))
    [line] = [line for line in shown(state) if "mic0" in line]
    assert "lost" in line
    assert "It was unplugged." in line
    assert "dBFS" not in "".join(shown(state))


def test_problems_are_shown_and_only_problems() -> None:
    overload = OverloadLine(seq=1, time=TIME, node="n", state="degraded", hop_s=2.0, behind_ms=1, dropped_windows=3)
    failing = JournalHealthLine(
        seq=2, time=TIME, node="n", state="failing", detail="The disk is full.", dropped_lines=0
    )
    broken = SinkStatus("mqtt://broker", state="failing", reason="Connection refused")
    snapshot = replace(view_state("mic0").snapshot, overload=overload, journal=failing)
    lines = "\n".join(shown(view_state("mic0", snapshot=snapshot, sinks=[(broken, 12)])))
    assert "is too slow: one window every 2 s, 3 dropped" in lines
    assert "The disk is full." in lines
    assert "mqtt://broker failing: Connection refused (12 behind)" in lines
    assert "!" not in "\n".join(shown(view_state("mic0")))


def test_digital_silence_has_no_level() -> None:
    assert "silent" in "\n".join(shown(view_state("mic0", latest={"mic0": reading("mic0", None)})))


def test_many_sources_have_one_row_each_and_the_rest_is_counted() -> None:
    names = [f"mic{number}" for number in range(40)]
    lines = shown(view_state(*names), height=24)
    assert any("siren 0.90" in line for line in lines)
    [more] = [line for line in lines if "more sources" in line]
    assert sum("dBFS" in line for line in lines) + int(more.split()[1]) == 40


def test_sources_with_problems_are_among_those_that_fit() -> None:
    lost, running = SourceStatus(state="lost", detail="gone"), SourceStatus(state="heard", hello=hello(*LABELS))
    faulty = replace(running, faults=("clipping",))
    names = [f"mic{number}" for number in range(38)]
    snapshot = StatusSnapshot({**dict.fromkeys(names, running), "shed": faulty, "yard": lost})
    lines = shown(view_state(*names, "shed", snapshot=snapshot), height=24)
    assert "yard" in lines[2]
    assert "clipping" in lines[3]
    assert "shed" in lines[3]


def test_long_and_wide_names_keep_the_columns() -> None:
    names = ("玄関のマイク", "front_garden_left_microphone", "front_garden_right_microphone", "a")
    rows = [line for line in render(view_state(*names), 200, 30) if "dBFS" in line.plain]
    starts = {cell_len(line.plain[: line.plain.index("█")]) for line in rows}
    assert len(starts) == 1, "all bars begin in one column"
    assert [name in line.plain for name, line in zip(names, rows, strict=True)] == [True] * 4
    assert shown(view_state(*names), width=40)[6].split()[1] == "front_gar…"


def test_a_narrow_terminal_keeps_the_clock_and_the_class_the_time_and_the_state_of_an_event() -> None:
    lines = shown(view_state("mic0", events=as_dicts(event("B", "street_music", "start"))), width=40)
    assert lines[0].endswith("14:13:31")
    assert lines[3].endswith("0.90  of 0.50")
    [active] = [line for line in lines if "active" in line]
    assert active.split()[2:] == ["street_mu…", "10.0", "s", "active"]
    wider = shown(view_state("mic0", events=as_dicts(event("B", "street_music", "start"))), width=60)
    assert any(re.search(r"street_music +\d\.\d\d .* active$", line) for line in wider)


def test_a_source_without_a_window_yet_is_running_and_the_log_has_no_date() -> None:
    lines = shown(view_state("mic0", latest={}, log=["2026-09-21T12:13:30.297245Z [info ] listening"]))
    assert lines[2].split()[-1] == "running"
    assert "   12:13:30Z [info ] listening" in lines


def test_a_terminal_without_unicode_gets_rows_of_as_many_columns() -> None:
    state = view_state("玄関", "café", events=as_dicts(event("B", "siren", "start")))
    lines = render(state, 60, 30)
    drawn = [to_encoding(line, "latin-1") for line in lines]
    assert [line.cell_len for line in drawn] == [line.cell_len for line in lines]
    assert [line.plain.split()[1] for line in drawn if "dBFS" in line.plain] == ["????", "café"]
    assert all(line.plain.encode("latin-1") for line in drawn if line)
    [active] = [line for line in drawn if "active" in line.plain]
    assert "siren" in {active.plain[span.start : span.end].strip() for span in active.spans}


def test_names_are_text_and_never_markup() -> None:
    lines = render(view_state("[bold red]mic[/]", log=["\x1b[31m[link=x]said[/link]\x1b[0m\nand\x0bmore"]), 100, 30)
    assert not any("\n" in line.plain for line in lines)
    plain = "\n".join(line.plain for line in lines)
    assert "[bold red]mic[/]" in plain
    assert "[link=x]said[/link]" in plain
    assert "\x1b" not in plain


@pytest.mark.slow
@given(
    st.integers(1, 200),
    st.integers(1, 80),
    st.integers(0, 30),
    st.integers(0, 60),
    st.lists(st.text(max_size=300), max_size=5),
)
def test_it_fits_every_terminal(width: int, height: int, sources: int, events: int, log: list[str]) -> None:
    lines_of_events = as_dicts(*(event(str(number), "siren", "start") for number in range(events)))
    state = view_state(*(f"mic{number}" for number in range(sources)), events=lines_of_events, log=log)
    lines = render(state, width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)


@pytest.mark.parametrize(("share", "cells"), [(-1, 0), (0, 0), (0.5, 4), (1, 8), (7, 8)])
def test_a_bar_is_as_long_as_its_share(share: float, cells: int) -> None:
    drawn = bar(share, 8)
    assert len(drawn) == 8
    assert drawn.count("█") == cells


def test_the_demo_scene_is_named_as_long_as_it_runs() -> None:
    demo = SourceStatus(state="heard", hello=msgspec.structs.replace(hello(*LABELS), description=DEMO_DESCRIPTION))
    state = view_state("demo", snapshot=StatusSnapshot({"demo": demo}), log=["a", "b", "c", "d"])
    assert any("demo scene, no microphone" in line for line in shown(state))
    assert not any("demo scene" in line for line in shown(view_state("mic0")))
