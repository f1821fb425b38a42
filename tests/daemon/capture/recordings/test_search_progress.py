"""A search through a long file says how far it is, and a stop ends it."""

from __future__ import annotations

import io
import os
import pty
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings.containers import find_parts, search
from soundwatch.daemon.capture.recordings.containers.search import SearchProgress, search_bars
from soundwatch.daemon.core.process.program_log import use_program_log
from soundwatch.daemon.core.process.stop_request import StoppedError, request_stop, withdraw_stop_request
from support.memory_logger import MemoryLogger


def test_a_search_is_logged_once_a_minute_with_its_share_and_the_time_left(tmp_path: Path) -> None:
    file = tmp_path / "long.flac"
    file.touch()
    times_s = iter([0.0, 59.0, 60.0, 119.0, 180.0])
    log = MemoryLogger()
    with file.open("rb") as opened, use_program_log(log):
        progress = SearchProgress(opened, 100, 1100, lambda: next(times_s))
        for place in (200, 300, 400, 850):
            progress.reach(place)
    assert log.fields("file_search_progress") == [
        {"file": str(file), "done_share": 0.2, "left_s": 240},
        {"file": str(file), "done_share": 0.75, "left_s": 60},
    ]


def test_without_a_log_a_search_only_ends_with_a_stop() -> None:
    times_s = iter([0.0, 100.0])
    progress = SearchProgress(io.BytesIO(), 0, 0, lambda: next(times_s))
    progress.reach(0)
    request_stop()
    try:
        with pytest.raises(StoppedError):
            progress.reach(0)
    finally:
        withdraw_stop_request()


@pytest.mark.parametrize("suffix", ["flac", "ogg", "mp3"])
def test_each_format_that_is_searched_reports_its_search(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str
) -> None:
    file = tmp_path / f"sound.{suffix}"
    soundfile.write(file, np.random.default_rng(0).uniform(-0.1, 0.1, 16_000), 16_000)
    monkeypatch.setattr(search, "ENTRY_EVERY_S", 0.0)
    log = MemoryLogger()
    with file.open("rb") as opened, use_program_log(log):
        find_parts(opened, file.stat().st_size)
    shares = [entry["done_share"] for entry in log.fields("file_search_progress")]
    assert shares
    assert shares == sorted(shares)
    assert 0 <= shares[0] <= shares[-1] <= 1


def test_on_a_terminal_a_bar_is_drawn_instead_of_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "long.flac"
    file.touch()
    ours, theirs = pty.openpty()
    times_s = iter([0.0, 0.5, 100.0, 200.0])
    log = MemoryLogger()
    with os.fdopen(theirs, "w") as stream, file.open("rb") as opened:
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setenv("TERM", "xterm-256color")
        with (
            search_bars(),
            use_program_log(log),
            SearchProgress(opened, 0, 100, lambda: next(times_s)) as progress,
        ):
            for place in (10, 20, 50):
                progress.reach(place)
        written = b""
        while b"50%" not in written:  # a terminal gives what was written in parts
            written += os.read(ours, 1 << 16)
    os.close(ours)
    assert b"searching" in written
    assert log.events == []
