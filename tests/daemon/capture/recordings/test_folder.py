"""A folder of recordings as one source."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.app.recording_report import report_recording
from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.capture.recordings.folder import Folder
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceStateChange
from support.memory_logger import MemoryLogger


def write(path: Path, value: float, rate_hz: int = 8000, seconds: float = 0.3, channels: int = 1) -> None:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, np.full((round(seconds * rate_hz), channels), value), rate_hz)


def read_all(source: LiveSource) -> tuple[list[Block], list[SourceStateChange]]:
    given = list(source.blocks())
    return [item for item in given if isinstance(item, Block)], [
        item for item in given if isinstance(item, SourceStateChange)
    ]


@pytest.mark.slow
def test_recordings_are_read_by_name_and_their_boundaries_are_marked(tmp_path: Path) -> None:
    write(tmp_path / "2.flac", 0.2, rate_hz=16_000, channels=2)
    write(tmp_path / "1.wav", 0.1)
    write(tmp_path / "later" / "3.ogg", 0.3)
    (tmp_path / "notes.txt").write_text("no recording")
    blocks, changes = read_all(Folder("yard", tmp_path))
    assert changes == []
    assert [round(float(block.samples.mean()), 1) for block in blocks] == [0.1] * 3 + [0.2] * 3 + [0.3] * 3
    assert {block.samples.shape[0] for block in blocks} == {1}
    assert [block.rate_hz for block in blocks] == [8000] * 3 + [16_000] * 3 + [8000] * 3
    assert [block.lost_samples for block in blocks] == [0, 0, 0, 1, 0, 0, 1, 0, 0]
    assert blocks[3].first_sample == 2 * 2400 + 1
    assert blocks[8].first_sample + 800 == pytest.approx(3 * 2400, abs=3)


@pytest.mark.slow
def test_an_unreadable_recording_is_reported_and_the_next_is_read(tmp_path: Path) -> None:
    write(tmp_path / "1.wav", 0.1)
    (tmp_path / "2.wav").write_bytes(b"no recording at all")
    (tmp_path / "3.wav").write_bytes((tmp_path / "1.wav").read_bytes()[:-100])
    write(tmp_path / "4.wav", 0.4)
    blocks, changes = read_all(open_live_source("yard", str(tmp_path)))
    assert [change.state for change in changes] == ["lost", "back", "lost", "back"]
    assert "2.wav is not a recording" in changes[0].detail
    assert "3.wav is truncated" in changes[2].detail
    assert round(float(blocks[-1].samples.mean()), 1) == 0.4


def test_an_unreadable_first_recording_is_reported_and_the_next_is_read(tmp_path: Path) -> None:
    (tmp_path / "0.wav").symlink_to("nothing.wav")
    (tmp_path / "1.wav").write_bytes(b"no recording at all")
    with pytest.raises(SourceError, match=r"There is no file .*0.wav"):
        Folder("yard", tmp_path)
    write(tmp_path / "2.wav", 0.2, seconds=0.1)
    blocks, changes = read_all(Folder("yard", tmp_path))
    assert [change.state for change in changes] == ["lost", "lost", "back"]
    assert len(blocks) == 1


def test_a_folder_without_recordings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="contains no recording; WAV, FLAC"):
        open_live_source("yard", str(tmp_path))


def test_a_folder_stops_between_its_recordings_too(tmp_path: Path) -> None:
    for name in "123":
        write(tmp_path / f"{name}.wav", 0.1, seconds=0.1)
    source = Folder("yard", tmp_path)
    blocks = []
    for block in source.blocks():
        blocks.append(block)
        source.stop()
    assert len(blocks) == 1


@pytest.mark.parametrize("choice", ["right", "pair"])
def test_channels_that_a_recording_does_not_have_are_refused(tmp_path: Path, choice: str) -> None:
    write(tmp_path / "1.wav", 0.1)
    with pytest.raises(
        SourceError, match=f"channels: {choice} was configured for .*1.wav, which has 1; {choice} needs two"
    ):
        open_live_source("yard", str(tmp_path / "1.wav"), choice)  # type: ignore[arg-type]


def test_the_selected_channel_of_a_recording_is_used(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "1.wav", np.tile([0.1, 0.8], (800, 1)), 8000)
    for choice, value in (("left", 0.1), ("right", 0.8), ("mix", 0.45)):
        [block], _ = read_all(open_live_source("yard", str(tmp_path / "1.wav"), choice))  # type: ignore[arg-type]
        np.testing.assert_allclose(block.samples, value, atol=1e-4)


@pytest.mark.slow
def test_the_findings_about_each_recording_of_a_folder_are_logged(tmp_path: Path) -> None:
    write(tmp_path / "1.wav", 0.0)
    write(tmp_path / "2.wav", 0.5)
    (tmp_path / "3.wav").write_bytes((tmp_path / "2.wav").read_bytes()[:-100])
    write(tmp_path / "4.wav", 0.0001)
    log = MemoryLogger()
    list(report_recording(open_live_source("yard", str(tmp_path)), 1, log).blocks())
    found = [(name, Path(str(fields["file"])).name) for name, fields in log.written]
    assert found == [("silent", "1.wav"), ("nearly_silent", "4.wav")]
