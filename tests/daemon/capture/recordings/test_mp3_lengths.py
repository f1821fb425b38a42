"""Lengths of MP3 recordings, and bytes in them that are no frames."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.recording_reader import read_until_error
from support.sound_files import RATE_HZ, SOUND, chunk, encoded, patched, read, riff


def _without_xing(content: bytes) -> bytes:
    """Write an MP3 without its first frame, which declares the length."""
    place = content.index(b"Xing") if b"Xing" in content else content.index(b"Info")
    start = content.rindex(b"\xff", 0, place)
    return content[content.index(content[start : start + 2], start + 4) :]


def test_an_mp3_without_a_declared_length_is_read_to_its_end(tmp_path: Path) -> None:
    """Quiet frames are short and loud ones long, so the first frame's bit rate gives wrong estimates."""
    rng, silence = np.random.default_rng(0), np.zeros(44_100 * 6)
    noise = 0.3 * rng.standard_normal(44_100 * 2)
    for sound in (np.concatenate([silence, noise]), np.concatenate([noise, silence])):
        soundfile.write(tmp_path / "a.mp3", sound, 44_100, bitrate_mode="VARIABLE")
        (tmp_path / "a.mp3").write_bytes(_without_xing((tmp_path / "a.mp3").read_bytes()))
        assert abs(soundfile.info(tmp_path / "a.mp3").duration - 8) > 1, "libsndfile's estimate"
        samples, notes = read(tmp_path / "a.mp3")
        assert samples.shape[1] / 44_100 == pytest.approx(8.0, abs=0.1)
        assert notes == ()


def test_an_mp3_that_continues_after_its_declared_length_is_read_to_its_end(tmp_path: Path) -> None:
    content = encoded(tmp_path / "a.mp3", subtype="MPEG_LAYER_III")
    magic = b"Xing" if b"Xing" in content else b"Info"
    (tmp_path / "a.mp3").write_bytes(patched(content, magic, 8, struct.pack(">I", 10)))
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= len(SOUND)
    assert "longer than its header declares: 0.720 s are declared" in notes[0]


@pytest.mark.parametrize("fewer", [1, 2, 3])
def test_an_mp3_that_declares_some_frames_less_is_read_to_its_end(tmp_path: Path, fewer: int) -> None:
    content = encoded(tmp_path / "a.mp3", subtype="MPEG_LAYER_III")
    place = content.index(b"Xing" if b"Xing" in content else b"Info") + 8
    frames = int.from_bytes(content[place : place + 4], "big")
    (tmp_path / "a.mp3").write_bytes(
        patched(content, bytes(content[place - 8 : place]), 8, struct.pack(">I", frames - fewer))
    )
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= len(SOUND)
    assert len(notes) == (fewer > 2)


def test_an_mp3_that_is_shorter_than_it_declares_is_read_and_not_refused(tmp_path: Path) -> None:
    content = encoded(tmp_path / "a.mp3", subtype="MPEG_LAYER_III")
    magic = b"Xing" if b"Xing" in content else b"Info"
    (tmp_path / "a.mp3").write_bytes(patched(content, magic, 8, struct.pack(">I", 100_000)))
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= len(SOUND) - 1_152
    assert "shorter than its header estimates: 7199." in notes[0]


def test_an_mp3_that_is_cut_within_its_last_frame_is_reported(tmp_path: Path) -> None:
    content = bytes(encoded(tmp_path / "a.mp3", subtype="MPEG_LAYER_III"))
    assert not read(tmp_path / "a.mp3")[1]
    (tmp_path / "a.mp3").write_bytes(content[:-100])
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= len(SOUND) - 2 * 1_152
    assert "its last frame of MPEG audio lacks 100 bytes" in notes[0]


def test_joined_mp3s_of_one_and_two_channels_are_read_to_the_end(tmp_path: Path) -> None:
    mono = bytes(encoded(tmp_path / "a.mp3"))
    soundfile.write(tmp_path / "b.mp3", np.stack([SOUND, SOUND], axis=1), RATE_HZ)
    for first, second in ((mono, (tmp_path / "b.mp3").read_bytes()), ((tmp_path / "b.mp3").read_bytes(), mono)):
        (tmp_path / "a.mp3").write_bytes(first + second)
        assert read(tmp_path / "a.mp3")[0].shape[1] > 1.9 * len(SOUND)


def test_joined_mp3s_of_two_rates_are_refused_after_the_first(tmp_path: Path) -> None:
    first = bytes(encoded(tmp_path / "a.mp3"))
    soundfile.write(tmp_path / "b.mp3", SOUND, 16_000)
    (tmp_path / "a.mp3").write_bytes(first + (tmp_path / "b.mp3").read_bytes())
    samples, message = read_until_error(tmp_path / "a.mp3")
    assert samples == pytest.approx(len(SOUND), abs=1_200)
    assert "the rate changes from 8000 to 16000 Hz" in message


def test_an_ape_tag_behind_an_mp3_or_a_flac_file_is_no_sound(tmp_path: Path) -> None:
    item = struct.pack("<II", 4, 0) + b"Title\0abcd"
    ends = [
        b"APETAGEX" + struct.pack("<IIII", 2_000, 32 + len(item), 1, flags) + bytes(8) for flags in (5 << 29, 1 << 31)
    ]
    for name in ("a.mp3", "a.flac"):
        content = bytes(encoded(tmp_path / name))
        plain = read(tmp_path / name)[0]
        for tag in (ends[0] + item + ends[1], item + ends[1]):
            (tmp_path / name).write_bytes(content + tag)
            samples, notes = read(tmp_path / name)
            np.testing.assert_array_equal(samples, plain)
            assert notes == ()


@pytest.mark.parametrize("filler", [bytes(5_000), b"ID3\4\0\0\0\0\x27\x08" + bytes(5_000 - 10)], ids=["damage", "tag"])
def test_bytes_within_an_mp3_that_are_no_frames_are_passed_over(
    tmp_path: Path, filler: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    content = _without_xing(bytes(encoded(tmp_path / "a.mp3")))
    (tmp_path / "a.mp3").write_bytes(content + filler + content)
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] > 1.9 * len(SOUND)
    assert any("5000 bytes are no MPEG audio" in note for note in notes) == (filler[:3] != b"ID3")
    assert capfd.readouterr() == ("", ""), "the decoder prints nothing of its own"


def test_a_frame_that_an_mp3_decoder_complains_of_is_found_and_prints_nothing(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    content = encoded(tmp_path / "a.mp3", bitrate_mode="CONSTANT")
    headers = [place for place in range(len(content) - 40) if content[place : place + 2] == content[:2]]
    for place in headers[10:30]:
        content[place + 4 : place + 20] = b"\xff\x00" * 8  # side information
    (tmp_path / "a.mp3").write_bytes(content)
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= SOUND.size * 0.9
    assert "a frame of MPEG audio does not decode rightly" in notes[0]
    assert capfd.readouterr().err == ""


def test_an_mp3_stream_in_a_wav_is_read_to_its_end(tmp_path: Path) -> None:
    stream = _without_xing(bytes(encoded(tmp_path / "a.mp3")))
    form = struct.pack("<HHIIHHHHIHHH", 0x55, 1, RATE_HZ, 2_000, 1, 0, 12, 1, 2, 144, 1, 0)
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", form), chunk(b"data", stream)))
    samples, notes = read(tmp_path / "a.wav")
    assert samples.shape[1] >= len(SOUND)
    assert notes == ()


def test_an_mp3_whose_last_frames_cannot_be_decoded_is_read_to_them(tmp_path: Path) -> None:
    content = _without_xing(bytes(encoded(tmp_path / "a.mp3")))
    (tmp_path / "a.mp3").write_bytes(content + bytes(3_000) + content[:4] + bytes(200))
    samples, notes = read(tmp_path / "a.mp3")
    assert samples.shape[1] >= len(SOUND)
    assert notes in ((), tuple(note for note in notes if "damaged" in note))
