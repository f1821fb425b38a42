"""Writing of clips: rejected, lost and reported."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from soundwatch.daemon.clips.clip_names import list_clips
from soundwatch.daemon.clips.clip_store import ClipStore
from soundwatch.daemon.clips.ring_buffer import Excerpt, Frames, Segment
from soundwatch.daemon.clips.writer import QUEUED_CLIPS, ClipWriter
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.events.schema import Line, with_seq
from support.cli_runner import VALIDATOR
from support.clip_factory import ID, clip
from support.memory_logger import MemoryLogger


class Lines:
    """A journal that keeps its lines."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []

    def append(self, line: Line) -> None:
        numbered = msgspec.to_builtins(with_seq(line, len(self.lines) + 1))
        VALIDATOR.validate(numbered)
        self.lines.append(numbered)


class Judge:
    """A guard with a given result, which waits until the test releases it."""

    def __init__(self, verdict: bool | Exception, *, let: bool = True) -> None:
        self.verdict = verdict
        self.let = threading.Event()
        self.asked = threading.Event()
        if let:
            self.let.set()

    def detects_speech(self, frames: Frames, rate_hz: int) -> bool:
        assert frames.shape[1] == 1
        assert rate_hz == 8000
        self.asked.set()
        assert self.let.wait(30)
        if isinstance(self.verdict, Exception):
            raise self.verdict
        return self.verdict


def writer(folder: Path, *guards: Any) -> tuple[ClipWriter, Lines, MemoryLogger]:
    lines, log = Lines(), MemoryLogger()
    made = ClipWriter(
        ClipStore(folder, ClipsConfig(max_age_days=36_500)),
        guards,
        "balcony",
        lines,
        log,
    )
    return made, lines, log


def test_a_line_is_written_once_the_file_is_there(tmp_path: Path) -> None:
    written, lines, log = writer(tmp_path)
    written.submit(clip(2.0, second=1))
    written.close()
    [line] = lines.lines
    [kept] = list_clips(tmp_path)
    assert (line["type"], line["source"], line["id"], line["class"]) == ("clip", "mic0", ID, "siren")
    assert (line["file"], line["path"], line["bytes"]) == (kept.path.name, str(kept.path), kept.size_bytes)
    assert (line["duration_s"], line["lost_s"], line["rate_hz"], line["channels"]) == (2.0, 0.0, 8000, 1)
    assert line["start"] == "2026-09-21T14:13:21.000Z"
    assert line["reason"] is None
    assert log.entries == []


def test_a_clip_with_speech_is_not_written_and_its_line_has_the_reason(tmp_path: Path) -> None:
    written, lines, log = writer(tmp_path, Judge(False), Judge(True))
    written.submit(clip())
    written.close()
    assert [(line["file"], line["path"], line["bytes"], line["reason"]) for line in lines.lines] == [
        (None, None, None, "speech")
    ]
    assert list(tmp_path.glob("*.flac")) == []
    assert log.entries == []


def test_a_clip_that_the_guard_cannot_score_is_not_written(tmp_path: Path) -> None:
    written, lines, log = writer(tmp_path, Judge(ValueError("no number")))
    written.submit(clip())
    written.close()
    assert [line["reason"] for line in lines.lines] == ["failed"]
    assert list(tmp_path.glob("*.flac")) == []
    assert log.written[0][1]["error"] == "no number"


def test_a_disk_that_fails_costs_clips_and_nothing_else(tmp_path: Path) -> None:
    written, lines, log = writer(tmp_path / "clips")
    (tmp_path / "clips").rename(tmp_path / "moved")  # atomic: the first trim may be writing there
    written.submit(clip())
    written.submit(clip(second=1))
    written.close()
    assert [line["reason"] for line in lines.lines] == ["disk", "disk"]
    assert [fields["lost_clips"] for event, fields in log.written if event == "clip_lost"] == [1, 2]


def test_a_full_queue_drops_the_newest_item_and_reports_it(tmp_path: Path) -> None:
    judge = Judge(False, let=False)
    written, lines, log = writer(tmp_path, judge)
    written.submit(clip())
    assert judge.asked.wait(30)
    for second in range(1, QUEUED_CLIPS + 3):
        written.submit(clip(second=second, id_=f"{second:026d}"))
    assert [line["reason"] for line in lines.lines] == ["queue", "queue"]
    judge.let.set()
    written.close()
    assert len(list_clips(tmp_path)) == QUEUED_CLIPS + 1
    assert written.lost_clips == 2
    assert len(log.entries) == 2


def test_a_clip_is_pending_until_its_line_is_there_also_where_it_is_lost(tmp_path: Path) -> None:
    judge = Judge(False, let=False)
    written, lines, _ = writer(tmp_path, judge)
    written.submit(clip())
    assert judge.asked.wait(30)
    for number in range(QUEUED_CLIPS + 1):
        written.submit(clip(id_=f"{number:026d}"))
    assert written.pending == {ID, *(f"{number:026d}" for number in range(QUEUED_CLIPS))}
    judge.let.set()
    written.close()
    assert (written.pending, len(lines.lines)) == (set(), QUEUED_CLIPS + 2)


def test_a_clip_that_flac_cannot_store_is_reported(tmp_path: Path) -> None:
    written, lines, _ = writer(tmp_path)
    frames = np.zeros((800, 9), np.int16)
    written.submit(replace(clip(), excerpt=Excerpt([Segment(0, frames)], 0, 800, 8000)))
    written.close()
    assert [line["reason"] for line in lines.lines] == ["failed"]


def test_a_picture_is_named_in_the_line_and_one_that_fails_costs_no_clip(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, log = Lines(), MemoryLogger()
    written = ClipWriter(ClipStore(tmp_path, ClipsConfig()), [], "balcony", lines, log, pictures=True)
    written.submit(clip(2.0))
    written.close()
    monkeypatch.setattr("soundwatch.daemon.clips.writer.spectrogram_png", lambda *_: 1 / 0)
    failing = ClipWriter(ClipStore(tmp_path, ClipsConfig()), [], "balcony", lines, log, pictures=True)
    failing.submit(clip(second=1, id_="0" * 26))
    failing.close()
    first, second = lines.lines
    assert first["picture"] == first["file"].replace(".flac", ".png")
    assert (tmp_path / first["picture"]).read_bytes().startswith(b"\x89PNG")
    assert (second["picture"], second["reason"], (tmp_path / second["file"]).exists()) == (None, None, True)
    assert log.events == ["clip_picture_failed"]
