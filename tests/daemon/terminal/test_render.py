"""What the view shows, at every size, of whatever there is."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.types import WindowResult
from soundwatch.daemon.events.schema import JournalHealthLine, OverloadLine
from soundwatch.daemon.sinks.dispatcher import SinkStatus
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot
from soundwatch.daemon.terminal.render import ViewState, bar, render
from support.journal_factory import TIME, event, hello

NOW = datetime(2026, 9, 21, 14, 13, 31, tzinfo=UTC)
LABELS = ("dog_bark", "siren", "drilling", "gun_shot")


def reading(name: str, level_dbfs: float | None = -40.0) -> WindowResult:
    values = np.array([0.1, 0.9, 0.3, 0.2], np.float32)
    return WindowResult(name, 0, LABELS, values, level_dbfs, 0, 1, 4.0, 0.0)


def seen(*names: str, **changes: Any) -> ViewState:
    heard = SourceStatus(hearing="heard", hello=hello(*LABELS))
    board = StatusSnapshot(dict.fromkeys(names, heard))
    latest = {name: reading(name) for name in names}
    return replace(ViewState("balcony", board, latest, [], [(SinkStatus("stdout"), 0)], [], NOW), **changes)


def shown(what: ViewState, width: int = 100, height: int = 30) -> list[str]:
    return [line.plain.rstrip() for line in render(what, width, height)]


def told(*events: Any) -> list[dict[str, Any]]:
    return [msgspec.to_builtins(each) for each in events]


def test_a_source_has_its_level_and_its_highest_classes_and_what_they_need() -> None:
    lines = shown(seen("mic0"))
    assert "soundwatch" in lines[0]
    assert "balcony" in lines[0]
    assert lines[0].endswith("14:13:31")
    assert "mic0" in lines[2]
    assert "-40 dBFS" in lines[2]
    assert [line.split()[0] for line in lines[3:6]] == ["siren", "drilling", "gun_shot"]
    assert lines[3].endswith("0.90  of 0.50")


def test_events_that_last_count_on_and_those_that_are_over_say_why() -> None:
    what = seen("mic0", events=told(event("B", "siren", "start"), event("A", "dog_bark", "end")))
    lines = shown(what)
    [lasts] = [line for line in lines if line.endswith("lasts")]
    assert "siren" in lasts
    assert "10.0 s" in lasts
    assert any("dog_bark" in line and line.endswith("decay") for line in lines)


def test_a_source_that_is_not_heard_says_why_and_shows_no_old_level() -> None:
    lost = SourceStatus(hearing="lost", detail="It was unplugged.", hello=hello(*LABELS))
    what = seen("mic0", board=StatusSnapshot({"mic0": lost}))
    [line] = [line for line in shown(what) if "mic0" in line]
    assert "lost" in line
    assert "It was unplugged." in line
    assert "dBFS" not in "".join(shown(what))


def test_what_is_wrong_is_shown_and_nothing_of_it_where_all_is_well() -> None:
    overload = OverloadLine(seq=1, time=TIME, node="n", state="degraded", hop_s=2.0, behind_ms=1, dropped_windows=3)
    failing = JournalHealthLine(
        seq=2, time=TIME, node="n", state="failing", detail="The disk is full.", dropped_lines=0
    )
    broken = SinkStatus("mqtt://broker", state="failing", reason="Connection refused")
    board = replace(seen("mic0").board, overload=overload, journal=failing)
    lines = "\n".join(shown(seen("mic0", board=board, sinks=[(broken, 12)])))
    assert "falls behind: a window every 2 s, 3 dropped" in lines
    assert "The disk is full." in lines
    assert "mqtt://broker failing: Connection refused (12 behind)" in lines
    assert "!" not in "\n".join(shown(seen("mic0")))


def test_digital_silence_has_no_level() -> None:
    assert "silent" in "\n".join(shown(seen("mic0", latest={"mic0": reading("mic0", None)})))


def test_many_sources_have_a_line_each_and_what_does_not_fit_is_counted() -> None:
    names = [f"mic{number}" for number in range(40)]
    lines = shown(seen(*names), height=24)
    assert any("siren 0.90" in line for line in lines)
    [more] = [line for line in lines if "more sources" in line]
    assert sum("dBFS" in line for line in lines) + int(more.split()[1]) == 40


def test_names_are_text_and_never_markup() -> None:
    lines = render(seen("[bold red]mic[/]", diary=["\x1b[31m[link=x]said[/link]\x1b[0m\nand\x0bmore"]), 100, 30)
    assert not any("\n" in line.plain for line in lines)
    plain = "\n".join(line.plain for line in lines)
    assert "[bold red]mic[/]" in plain
    assert "[link=x]said[/link]" in plain
    assert "\x1b" not in plain


@given(
    st.integers(1, 200),
    st.integers(1, 80),
    st.integers(0, 30),
    st.integers(0, 60),
    st.lists(st.text(max_size=300), max_size=5),
)
def test_it_fits_every_terminal(width: int, height: int, sources: int, events: int, diary: list[str]) -> None:
    heard = told(*(event(str(number), "siren", "start") for number in range(events)))
    what = seen(*(f"mic{number}" for number in range(sources)), events=heard, diary=diary)
    lines = render(what, width, height)
    assert len(lines) <= height
    assert all(line.cell_len <= width for line in lines)
    assert all("\n" not in line.plain for line in lines)


@pytest.mark.parametrize(("share", "cells"), [(-1, 0), (0, 0), (0.5, 4), (1, 8), (7, 8)])
def test_a_bar_is_as_long_as_its_share(share: float, cells: int) -> None:
    drawn = bar(share, 8)
    assert len(drawn) == 8
    assert drawn.count("█") == cells
