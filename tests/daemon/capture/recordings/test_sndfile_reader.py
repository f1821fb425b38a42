"""Joined files of several sample formats, and files on a disk that fails."""

from __future__ import annotations

import errno
import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.recordings.containers import find_parts
from soundwatch.daemon.capture.recordings.containers.flac import flac_end_sample
from soundwatch.daemon.capture.recordings.folder import Folder
from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.capture.recordings.sndfile_reader import SndfileReader
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceStateChange
from support.recording_reader import read_until_error

RATE_HZ = 8_000
TONE: NDArray[np.float64] = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ)
NOISE: NDArray[np.float64] = np.random.default_rng(0).uniform(-0.5, 0.5, 30 * RATE_HZ)


def read(path: Path) -> NDArray[np.float32]:
    return np.concatenate([block.samples[0] for block in Recording("file", path, "fast", 0).blocks()])


class FailingDisk(io.BufferedReader):
    """A file of which 20,000 bytes from an offset on cannot be read."""

    from_bytes = 0

    def read(self, size: int | None = -1) -> bytes:
        self._check(size or 0)
        return super().read(size)

    def readinto(self, buffer: Any) -> int:
        self._check(len(buffer))
        return super().readinto(buffer)

    def _check(self, size: int) -> None:
        if self.tell() - 20_000 < self.from_bytes < self.tell() + size:
            raise OSError(errno.EIO, "Input/output error")


@pytest.fixture
def failing(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Map names of files to the offset from which their disk fails."""
    offsets, opened = dict[str, int](), Path.open

    def open_path(path: Path, *args: Any, **options: Any) -> Any:
        file = opened(path, *args, **options)
        if path.name not in offsets:
            return file
        failing_file = FailingDisk(file.detach())
        failing_file.from_bytes = offsets[path.name]
        return failing_file

    monkeypatch.setattr(Path, "open", open_path)
    return offsets


@pytest.mark.parametrize("later", ["FLOAT", "DOUBLE", "PCM_24", "ULAW"])
@pytest.mark.parametrize("order", [1, -1], ids=["16 bits first", "16 bits last"])
def test_joined_wavs_of_different_sample_formats_keep_their_level(tmp_path: Path, later: str, order: int) -> None:
    for name, subtype in (("a.wav", "PCM_16"), ("b.wav", later)):
        soundfile.write(tmp_path / name, TONE, RATE_HZ, subtype)
    joined = [(tmp_path / name).read_bytes() for name in ("a.wav", "b.wav")][::order]
    (tmp_path / "joined.wav").write_bytes(b"".join(joined))
    samples = read(tmp_path / "joined.wav")
    np.testing.assert_allclose(samples, np.tile(TONE, 2), atol=0.02)


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.caf", "a.voc"])
@pytest.mark.parametrize("from_bytes", [4, 40, 20_000])
def test_a_disk_that_fails_is_named_whatever_the_format(
    tmp_path: Path, failing: dict[str, int], name: str, from_bytes: int
) -> None:
    soundfile.write(tmp_path / name, NOISE, RATE_HZ)
    failing[name] = from_bytes
    with pytest.raises(SourceError, match=r"cannot be read(:| after .* s:) Input/output error\. .*Check its"):
        read(tmp_path / name)


def test_the_sound_before_a_read_error_is_given(tmp_path: Path, failing: dict[str, int]) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, RATE_HZ, "PCM_16")
    failing["a.wav"] = 200_000
    samples = 0
    with pytest.raises(SourceError, match=r"cannot be read after 12\.\d* s: Input/output error"):  # noqa: PT012
        for block in Recording("file", tmp_path / "a.wav", "fast", 0).blocks():
            samples += block.samples.shape[1]
    assert 99_000 - 4_096 < samples <= 100_000


def test_a_folder_goes_on_after_a_recording_on_a_disk_that_fails(tmp_path: Path, failing: dict[str, int]) -> None:
    for name in ("a.wav", "b.mp3", "c.wav"):
        soundfile.write(tmp_path / name, TONE[:800], RATE_HZ)
    failing["b.mp3"] = 100
    given = list(Folder("yard", tmp_path).blocks())
    assert [type(item) is Block for item in given] == [True, False, True, False]
    assert isinstance(given[1], SourceStateChange)
    assert "b.mp3 cannot be read: Input/output error" in given[1].detail


@pytest.mark.parametrize("sound", [TONE, NOISE[: 2 * RATE_HZ]], ids=["tone", "noise"])
@pytest.mark.parametrize("declared", [RATE_HZ, 2 * RATE_HZ - 1, 1])
def test_a_short_flac_that_declares_too_little_is_read_to_its_end(
    tmp_path: Path, sound: NDArray[np.float64], declared: int
) -> None:
    """The decoder reads ahead to the end of such a file while it decodes the declared samples."""
    soundfile.write(tmp_path / "a.flac", sound, RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[22:26] = declared.to_bytes(4, "big")
    (tmp_path / "a.flac").write_bytes(content)
    np.testing.assert_allclose(read(tmp_path / "a.flac"), sound, atol=2**-15)


@pytest.mark.parametrize("samples", [1, 4_096, 4_097, 900_000])
@pytest.mark.parametrize("rate_hz", [8_000, 11_025, 48_000])
def test_the_last_frame_of_a_flac_ends_at_its_declared_length(tmp_path: Path, samples: int, rate_hz: int) -> None:
    """A true length costs no second decoding."""
    soundfile.write(tmp_path / "a.flac", np.resize(NOISE, samples), rate_hz)
    with (tmp_path / "a.flac").open("rb") as file:
        (part,) = find_parts(file, (tmp_path / "a.flac").stat().st_size)
        assert flac_end_sample(file, part) == part.declared_samples == samples


@pytest.mark.parametrize("bits", [b"\x01\x00\x80\x7f", b"\x00\x00\xc0\x7f"], ids=["signaling", "quiet"])
def test_a_nan_of_either_kind_is_an_error_without_a_warning(tmp_path: Path, bits: bytes) -> None:
    soundfile.write(tmp_path / "a.wav", TONE, RATE_HZ, "FLOAT")
    content = (tmp_path / "a.wav").read_bytes()
    (tmp_path / "a.wav").write_bytes(content[:-4] + bits)
    with pytest.raises(SourceError, match=r"sample 15999 .* is nan"):
        read(tmp_path / "a.wav")


def test_a_flac_file_that_was_cut_from_another_without_decoding_is_whole(tmp_path: Path) -> None:
    """Its frames keep their numbers, and its header the length of the whole; damage after that is reported."""
    soundfile.write(tmp_path / "a.flac", NOISE, RATE_HZ, "PCM_16")
    content, whole = (tmp_path / "a.flac").read_bytes(), read(tmp_path / "a.flac")
    first = content.index(b"\xff\xf8")
    third = content.index(content[first : first + 4] + b"\2", first)
    block_samples = int.from_bytes(content[8:10], "big")
    (tmp_path / "a.flac").write_bytes(content[:first] + content[third:])
    np.testing.assert_array_equal(read(tmp_path / "a.flac"), whole[2 * block_samples :])
    (tmp_path / "a.flac").write_bytes(content[:first] + content[third:-5_000])
    assert "truncated or damaged" in read_until_error(tmp_path / "a.flac")[1]
    (tmp_path / "a.flac").write_bytes(content[:first] + bytes(9) + content[first + 9 :])
    recording = Recording("file", tmp_path / "a.flac", "fast", 0)
    assert sum(block.samples.shape[1] for block in recording.blocks()) < len(NOISE)
    assert "damaged" in recording.findings()


@pytest.mark.parametrize("name", ["b.mp3", "b.flac", "b.ogg"])
@pytest.mark.parametrize("samples", [RATE_HZ, RATE_HZ + 1])
@pytest.mark.parametrize("tag", [b"", b"ID3\3\0\0\0\0\0\x0a" + bytes(10)], ids=["no tag", "tag"])
def test_a_file_of_another_format_behind_a_wav_is_decoded(tmp_path: Path, name: str, samples: int, tag: bytes) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE[:samples], RATE_HZ, "PCM_U8")
    soundfile.write(tmp_path / name, TONE, RATE_HZ)
    (tmp_path / "a.wav").write_bytes((tmp_path / "a.wav").read_bytes() + tag + (tmp_path / name).read_bytes())
    recording = Recording("file", tmp_path / "a.wav", "fast", 0)
    sound = np.concatenate([block.samples[0] for block in recording.blocks()])
    assert len(sound) == pytest.approx(samples + len(TONE), abs=1_200)
    rest = sound[samples + 2_000 : samples + 14_000]
    assert np.sqrt(np.square(rest).mean()) == pytest.approx(0.5 / 2**0.5, rel=0.05)
    assert recording.findings() == {}


@pytest.mark.parametrize("kind", ["SVX", "VOC", "AVR", "NIST"])
def test_a_cut_file_of_a_format_without_a_layout_is_reported(tmp_path: Path, kind: str) -> None:
    soundfile.write(tmp_path / "a.snd", NOISE, RATE_HZ, "PCM_16", format=kind)
    assert len(read(tmp_path / "a.snd")) == len(NOISE)
    (tmp_path / "a.snd").write_bytes((tmp_path / "a.snd").read_bytes()[:200_000])
    samples, message = read_until_error(tmp_path / "a.snd")
    assert samples == pytest.approx(100_000, abs=600)
    assert "truncated or damaged: its header declares" in message


@pytest.mark.parametrize("kind", ["wav", "flac", "aiff"])
def test_a_file_that_is_shortened_while_it_is_read_is_reported(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"loop.{kind}"
    soundfile.write(path, np.random.default_rng(1).normal(0, 0.1, 400_000), 8000)
    reader = SndfileReader(path)
    assert len(reader.read(8000)) == 8000
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(SourceError, match=r"was shortened while it was read|is truncated or damaged"):
        list(iter(lambda: len(reader.read(8000)), 0))
    reader.close()
