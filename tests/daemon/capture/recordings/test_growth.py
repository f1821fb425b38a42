"""Files that another program writes to while they are read."""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings import growth
from soundwatch.daemon.capture.recordings.pacing import Pace, Pause
from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.capture.samples.recording_error import RecordingError

RATE_HZ = 8000
SOUND = np.linspace(-9000, 9000, 4 * RATE_HZ // 10).astype("<i2")
PIECE = len(SOUND) // 4


def header(data_bytes: int) -> bytes:
    """Return the header of a WAV file of 16 bits and one channel."""
    form = struct.pack("<IHHIIHH", 16, 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
    return b"RIFF" + struct.pack("<I", 36 + data_bytes) + b"WAVEfmt " + form + b"data" + struct.pack("<I", data_bytes)


def append(path: Path, piece: bytes) -> None:
    with path.open("ab") as file:
        file.write(piece)


def read_while(
    path: Path, after_block: Callable[[int], object], pace: Pace = "real_time"
) -> tuple[Recording, list[int]]:
    """Read a recording, with a call after each block; return its samples, too."""
    recording = Recording("yard", path, pace, 0)
    heard: list[int] = []
    for number, block in enumerate(recording.blocks()):
        heard += (block.samples[0] * 2**15).round().astype(int).tolist()
        after_block(number)
    return recording, heard


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "POLL_S", 0.02)
    monkeypatch.setattr(growth, "LONGEST_WAIT_S", 0.06)


@pytest.mark.slow
@pytest.mark.parametrize("declared", [0, PIECE * 2, SOUND.nbytes, 0xFFFF_FFFF - 36])
def test_a_recording_that_is_still_written_is_heard_to_its_end(tmp_path: Path, declared: int) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(header(declared) + SOUND[:PIECE].tobytes())
    pieces = [SOUND[PIECE : 2 * PIECE + 1], SOUND[2 * PIECE + 1 :]]  # and a part of a frame between them
    content = [pieces[0].tobytes() + pieces[1].tobytes()[:1], pieces[1].tobytes()[1:]]
    recording, heard = read_while(path, lambda _: append(path, content.pop(0)) if content else None)
    assert heard == SOUND.tolist()
    assert "changed while read" not in recording.findings()


@pytest.mark.slow
@pytest.mark.parametrize("declares", [True, False])
def test_a_flac_recording_that_is_copied_or_encoded_is_heard_to_its_end(tmp_path: Path, declares: bool) -> None:
    """An encoder writes the length last. What is there ends within a frame, and may grow by less than one."""
    path, sound = tmp_path / "a.flac", np.random.default_rng(0).normal(0, 2000, 3 * RATE_HZ).astype("<i2")
    soundfile.write(path, sound, RATE_HZ)
    content = bytearray(path.read_bytes())
    if not declares:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    cuts = (0, len(content) // 3, len(content) // 3 + 100, len(content) // 2, len(content) - 10, len(content))
    pieces = [bytes(content[first:end]) for first, end in pairwise(cuts)]
    path.write_bytes(pieces.pop(0))
    recording, heard = read_while(path, lambda _: append(path, pieces.pop(0)) if pieces else None)
    assert heard == sound.tolist()
    assert not recording.findings()


@pytest.mark.slow
def test_damage_of_a_flac_recording_is_passed_over_while_it_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With each growth it would be tried again, until the writer ends."""
    path, sound = tmp_path / "a.flac", np.random.default_rng(0).normal(0, 2000, 30 * RATE_HZ).astype("<i2")
    soundfile.write(path, sound, RATE_HZ)
    content = bytearray(path.read_bytes())
    content[len(content) // 8 : len(content) // 8 + 100] = bytes(100)
    pieces = [bytes(content[at : at + 100]) for at in range(len(content) * 3 // 4, len(content), 100)]
    path.write_bytes(content[: len(content) * 3 // 4])
    state = growth._state

    def grow_at_each_look(file: io.BufferedReader) -> tuple[int, int]:
        if pieces:
            append(path, pieces.pop(0))
        return state(file)

    monkeypatch.setattr(growth, "_state", grow_at_each_look)
    monkeypatch.setattr(Pause, "wait_s", lambda *_: True)
    recording, left = Recording("yard", path, "real_time", 0), list[int]()
    with pytest.raises(RecordingError, match="is damaged after"):  # growth after damage
        left.extend(len(pieces) for block in recording.blocks() if block.first_sample > 10 * RATE_HZ)
    assert left[0] > 50
    assert "of sound do not decode and were left out" in recording.findings()["damaged"]


@pytest.mark.slow
def test_damage_at_the_end_of_a_flac_recording_that_grows_is_no_crash(tmp_path: Path) -> None:
    path, sound = tmp_path / "a.flac", np.random.default_rng(0).normal(0, 2000, 3 * RATE_HZ).astype("<i2")
    soundfile.write(path, sound, RATE_HZ)
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle - 100 : middle] = bytes(100)
    pieces = [bytes(content[middle:])]
    path.write_bytes(content[:middle])
    recording, heard = read_while(path, lambda _: append(path, pieces.pop(0)) if pieces else None)
    assert heard[-RATE_HZ:] == sound[-RATE_HZ:].tolist()
    assert "of sound do not decode and were left out" in recording.findings()["damaged"]


@pytest.mark.slow
def test_a_stop_ends_the_wait_for_a_writer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "LONGEST_WAIT_S", 600.0)
    path = tmp_path / "a.wav"
    path.write_bytes(header(SOUND.nbytes) + SOUND[:PIECE].tobytes())
    recording = Recording("yard", path, "real_time", 0)

    def find_none(*_: object) -> tuple[()]:
        recording.stop()
        return ()

    monkeypatch.setattr(growth, "find_parts", find_none)
    for number, _ in enumerate(recording.blocks()):
        if number == 0:
            append(path, SOUND[PIECE : 2 * PIECE].tobytes())


def grow(path: Path) -> None:
    append(path, SOUND.tobytes())


def write_anew(path: Path) -> None:
    size = path.stat().st_size
    path.write_bytes((header(SOUND.nbytes) + SOUND[::-1].tobytes())[:size])
    os.utime(path, ns=(0, 0))


def tag(path: Path) -> None:
    append(path, b"LIST" + struct.pack("<I", 4) + b"INFO")


@pytest.mark.parametrize(
    ("act", "found"),
    [
        (grow, f"it grew by {SOUND.nbytes} bytes while it was read, and they were not read. Read it again once"),
        (write_anew, "another program wrote to it while it was read, so old and new sound may be mixed"),
        (tag, ""),
        (lambda path: path.unlink(), ""),
        (lambda path: path.rename(path.with_name("b.wav")), ""),
        (lambda path: os.link(path, path.with_name("b.wav")), ""),
    ],
)
def test_a_file_that_changes_while_it_is_read_is_reported(
    tmp_path: Path, act: Callable[[Path], object], found: str
) -> None:
    path = tmp_path / "a.wav"
    declared = 0 if act is grow else SOUND.nbytes
    path.write_bytes(header(declared) + SOUND.tobytes())
    recording, heard = read_while(path, lambda number: act(path) if number == 0 else None, "fast")
    assert len(heard) == len(SOUND)
    assert recording.findings().get("changed while read", "").startswith(found)
    assert bool(found) is ("changed while read" in recording.findings())


def test_a_format_that_cannot_be_followed_is_reported_when_it_grows(tmp_path: Path) -> None:
    path = tmp_path / "a.ogg"
    soundfile.write(path, SOUND / 2**15, RATE_HZ)
    later = path.read_bytes()
    recording, _ = read_while(path, lambda number: append(path, later) if number == 0 else None)
    assert f"it grew by {len(later)} bytes" in recording.findings()["changed while read"]
