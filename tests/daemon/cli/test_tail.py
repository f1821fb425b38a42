"""Lines for people, as `soundwatch tail` prints them."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from rich.cells import cell_len

from soundwatch.daemon.cli.tail import _text, format_line
from soundwatch.daemon.core.text.printable import printable

EVENT: dict[str, Any] = {
    "type": "start", "time": "2026-11-22T08:15:02.418Z", "source": "mic0", "class": "siren", "score": 0.93,
    "peak_score": 0.97, "level_dbfs": -31.4, "duration_s": None, "reason": None,
}  # fmt: skip
END = EVENT | {"type": "end", "score": 0.0, "duration_s": 13.0, "reason": "decay"}


@pytest.fixture(params=["UTC", "Europe/Berlin", "Asia/Kolkata"])
def zone(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The local time zone."""
    monkeypatch.setenv("TZ", request.param)
    time.tzset()
    yield request.param
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_local_and_has_its_offset_from_utc(zone: str) -> None:
    shown = {
        "UTC": "2026-11-22 08:15:02+00:00",
        "Europe/Berlin": "2026-11-22 09:15:02+01:00",
        "Asia/Kolkata": "2026-11-22 13:45:02+05:30",
    }
    assert format_line(EVENT).startswith(f"{shown[zone]}  mic0 ")
    assert format_line(EVENT, ZoneInfo("Asia/Kolkata")).startswith(f"{shown['Asia/Kolkata']}  mic0 ")


def test_an_event_of_a_metered_source_has_its_a_weighted_levels() -> None:
    levels = {"level_dba": 61.6, "peak_level_dba": 78.2, "calibrated": True}
    assert format_line(EVENT | levels).endswith("siren             0.93  LAeq 62 dB")
    assert format_line(END | levels).endswith("siren             peak 0.97  LAFmax 78 dB  13.0 s, decay")
    assert "LAeq -48 dBFS" in format_line(EVENT | levels | {"level_dba": -48.4, "calibrated": False})


def test_an_end_has_the_peak_score_and_a_start_its_own() -> None:
    assert format_line(EVENT).endswith("siren             0.93  -31 dBFS")
    assert format_line(END).endswith("siren             peak 0.97  -31 dBFS  13.0 s, decay")


def test_a_source_has_a_column_of_cells() -> None:
    starts = [format_line(EVENT | {"source": source}).split("  start")[0] for source in ("mic0", "玄関", "")]
    assert len({cell_len(start) for start in starts}) == 1


@pytest.mark.parametrize(
    "hostile", ["\x1b[31mred", "a\x07bell", "\x9b2J", "up\u202ereversed", "two\nlines", "\r", "\ud800"]
)
@pytest.mark.parametrize("key", ["class", "source", "reason"])
def test_control_codes_of_labels_sources_and_texts_are_escaped(hostile: str, key: str) -> None:
    line = format_line(END | {key: hostile})
    assert line.isprintable()
    assert printable(hostile) in line


def test_details_and_descriptions_are_escaped() -> None:
    base = {"time": "2026-11-22T08:15:02.418Z", "source": "mic0"}
    health = base | {"type": "health", "state": "lost", "detail": "\x1b]0;title\x07 is gone"}
    assert format_line(health).endswith("lost              \\x1b]0;title\\x07 is gone")
    hello = base | {"type": "hello", "description": "\x1b[2Jmic"}
    assert format_line(hello).endswith("\\x1b[2Jmic")


def test_printable_text_is_unchanged() -> None:
    assert printable("Straße 日本 🎤 a_b") == "Straße 日本 🎤 a_b"


@pytest.mark.parametrize("damaged", [b'{"time":"2026', b"\xff\x1b[2J\n", b"[]\n", b'{"type":"end"}\n'])
def test_a_damaged_line_is_printed_as_it_is_without_control_codes(damaged: bytes) -> None:
    text = _text(damaged)
    assert text.startswith("damaged line: ")
    assert "\x1b" not in text
