from __future__ import annotations

import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import Source
from support.recording_reader import read_until_error


def tone(rate_hz: int, channels: int, seconds: float = 0.73) -> NDArray[np.float32]:
    """Return a different tone in every channel, as (S, C)."""
    time_s = np.arange(round(rate_hz * seconds)) / rate_hz
    return np.stack([0.5 * np.sin(2 * np.pi * 100 * (c + 1) * time_s) for c in range(channels)], axis=1).astype("f4")


def read_blocks(path: Path) -> list[Block]:
    return list(Recording("file", path, "fast", 0).blocks())


def joined(blocks: list[Block]) -> NDArray[np.float32]:
    assert [block.first_sample for block in blocks] == [
        sum(block.samples.shape[1] for block in blocks[:number]) for number in range(len(blocks))
    ]
    return np.concatenate([block.samples for block in blocks], axis=1)


@pytest.mark.parametrize(
    ("name", "subtype", "error"),
    [
        ("eight.wav", "PCM_U8", 2**-7),
        ("sixteen.wav", "PCM_16", 2**-15),
        ("twenty-four.wav", "PCM_24", 2**-23),
        ("thirty-two.wav", "PCM_32", 2**-24),
        ("float.wav", "FLOAT", 0.0),
        ("double.wav", "DOUBLE", 0.0),
        ("a-law.wav", "ALAW", 2**-5),
        ("lossless.flac", "PCM_16", 2**-15),
        ("apple.aiff", "PCM_16", 2**-15),
        ("core.caf", "PCM_16", 2**-15),
        ("sun.au", "PCM_16", 2**-15),
        ("lossy.ogg", "VORBIS", 0.1),
        ("lossy.mp3", "MPEG_LAYER_III", 0.1),
    ],
)
def test_every_format_and_depth_gives_samples_of_full_scale_one(
    tmp_path: Path, name: str, subtype: str, error: float
) -> None:
    written = tone(44_100, 2)
    soundfile.write(tmp_path / name, written, 44_100, subtype=subtype)
    assert np.abs(joined(read_blocks(tmp_path / name)) - written.T).max() <= error


@pytest.mark.parametrize("rate_hz", [1_000, 8_000, 11_025, 192_000, 384_000])
@pytest.mark.parametrize("channels", [1, 6])
def test_every_rate_and_number_of_channels_is_kept(tmp_path: Path, rate_hz: int, channels: int) -> None:
    written = tone(rate_hz, channels)
    soundfile.write(tmp_path / "r.wav", written, rate_hz, subtype="FLOAT")
    blocks = read_blocks(tmp_path / "r.wav")
    assert {block.rate_hz for block in blocks} == {rate_hz}
    np.testing.assert_array_equal(joined(blocks), written.T)


def test_a_recording_has_its_rate_channels_and_name(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.wav", tone(8_000, 6), 8_000)
    source: Source = Recording("yard", tmp_path / "r.wav", "fast", 1_700_000_000_000_000_000)
    assert (source.info.name, source.info.description) == ("yard", str(tmp_path / "r.wav"))
    assert (source.info.rate_hz, source.info.channels) == (8_000, 6)
    assert source.start_unix_ns == 1_700_000_000_000_000_000


def test_blocks_cannot_be_written_to(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "r.wav", tone(8_000, 1), 8_000)
    with pytest.raises(ValueError, match="read-only"):
        read_blocks(tmp_path / "r.wav")[0].samples[0, 0] = 1.0


@pytest.mark.parametrize("address", ["http://camera/live.mp3", "rtsp://camera", "file:///home/me/a.wav"])
def test_an_address_is_no_path_of_a_recording(address: str) -> None:
    with pytest.raises(SourceError, match=r"is an address; .* listen to it with `soundwatch run --device ADDRESS`\."):
        Recording("yard", Path(address), "fast")


def write_nothing(path: Path) -> None:
    path.write_bytes(b"")


def write_text(path: Path) -> None:
    path.write_text("This is no sound.\n" * 100)


def write_cut_header(path: Path) -> None:
    soundfile.write(path, tone(8_000, 1), 8_000, format="WAV")
    path.write_bytes(path.read_bytes()[:20])


def write_header_only(path: Path) -> None:
    soundfile.write(path, tone(8_000, 1), 8_000, format="WAV")
    path.write_bytes(path.read_bytes()[:44])


def write_no_frames(path: Path) -> None:
    soundfile.write(path, np.zeros((0, 1)), 8_000, format="WAV")


def write_low_rate(path: Path) -> None:
    soundfile.write(path, tone(8_000, 1), 500, format="WAV")


def write_high_rate(path: Path) -> None:
    soundfile.write(path, tone(8_000, 1), 400_000, format="WAV")


@pytest.mark.parametrize(
    ("name", "write", "message"),
    [
        ("a.wav", write_nothing, r"a\.wav is empty \(0 bytes\); a recording was expected"),
        (
            "a.wav",
            write_text,
            "is not a recording that can be read: Format not recognised. A WAV, FLAC, .* was expected",
        ),
        ("a.mp3", write_text, "is not a recording that can be read: Format not recognised"),
        ("a.wav", write_cut_header, "is not a recording that can be read: Error in WAV"),
        ("a.wav", write_header_only, r"contains a header but no sound \(0 samples\)"),
        ("a.wav", write_no_frames, r"contains a header but no sound \(0 samples\)"),
        ("a.wav", write_low_rate, "has a sampling rate of 500 Hz; 1000 to 384000 Hz can be used"),
        ("a.wav", write_high_rate, "has a sampling rate of 400000 Hz"),
        ("a.raw", write_text, "has no header. Give raw samples on standard input"),
        ("a.wav", Path.mkdir, "is a folder; a recording was expected"),
        ("a.wav", Path.exists, r"There is no file .*a\.wav. Check its name"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_the_reason(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str, write: object, message: str
) -> None:
    assert callable(write)
    write(tmp_path / name)
    with pytest.raises(SourceError, match=message):
        Recording("file", tmp_path / name)
    assert capfd.readouterr() == ("", ""), "the decoders print nothing of their own"


@pytest.mark.parametrize(
    ("name", "subtype", "declared"),
    [
        ("a.wav", "PCM_16", "140000 bytes of sound, but 69"),
        ("a.wav", "PCM_24", "210000 bytes of sound, but 104"),
        ("a.wav", "FLOAT", "280000 bytes of sound, but 139"),
        ("a.aiff", "PCM_16", "140000 bytes of sound, but"),
        ("a.au", "PCM_16", "140000 bytes of sound, but"),
        ("a.flac", "PCM_16", "35000 samples, but decoding stops after"),
    ],
)
def test_a_truncated_recording_is_read_to_its_end_and_reported(
    tmp_path: Path, name: str, subtype: str, declared: str
) -> None:
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (35_000, 2))
    soundfile.write(tmp_path / name, noise, 44_100, subtype=subtype)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    samples, message = read_until_error(tmp_path / name)
    assert 10_000 < samples < 20_000
    assert f"{tmp_path / name} is truncated or damaged: its header declares {declared}" in message


@pytest.mark.parametrize("declared_bytes", [0xFFFF_FFFF, 0x7FFF_FFFF - 40, 0x8000_0000])
def test_a_header_that_was_written_to_a_pipe_is_not_taken_for_truncation(tmp_path: Path, declared_bytes: int) -> None:
    written = tone(44_100, 1)
    soundfile.write(tmp_path / "a.wav", written, 44_100, subtype="PCM_16")
    content = bytearray((tmp_path / "a.wav").read_bytes())
    content[40:44] = struct.pack("<I", declared_bytes)
    (tmp_path / "a.wav").write_bytes(content)
    assert joined(read_blocks(tmp_path / "a.wav")).shape == (1, len(written))


def test_a_flac_without_a_length_is_read(tmp_path: Path) -> None:
    written = tone(44_100, 1)
    soundfile.write(tmp_path / "a.flac", written, 44_100)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    content[21] &= 0xF0  # STREAMINFO's 36 bits for the number of samples: unknown
    content[22:26] = bytes(4)
    (tmp_path / "a.flac").write_bytes(content)
    assert joined(read_blocks(tmp_path / "a.flac")).shape == (1, len(written))


@pytest.mark.parametrize("name", ["a.mp3", "a.ogg", "a.flac"])
def test_decoding_in_blocks_equals_decoding_at_once(tmp_path: Path, name: str) -> None:
    soundfile.write(tmp_path / name, tone(48_000, 2, 1.5), 48_000)
    whole, _ = soundfile.read(tmp_path / name, dtype="float32")
    np.testing.assert_array_equal(joined(read_blocks(tmp_path / name)), whole.T)


@pytest.mark.parametrize(("value", "expected_message"), [(np.nan, "nan"), (-np.inf, "-inf"), (31_000.0, "31000")])
def test_a_sample_that_is_no_number_of_sane_size_is_named(tmp_path: Path, value: float, expected_message: str) -> None:
    samples = tone(8_000, 2, 1.0)
    samples[6_500, 1] = value
    soundfile.write(tmp_path / "a.wav", samples, 8_000, subtype="FLOAT")
    valid_samples, message = read_until_error(tmp_path / "a.wav")
    assert valid_samples == 6_500
    assert (
        f"{tmp_path / 'a.wav'}: sample 6500 (0.812 s) of channel 2 is {expected_message}; numbers from -1 to 1"
        in message
    )


def test_a_float_recording_may_exceed_full_scale(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", np.full((100, 1), 3.5), 8_000, subtype="FLOAT")
    assert joined(read_blocks(tmp_path / "a.wav")).max() == 3.5


def test_in_real_time_a_block_is_not_given_before_it_would_have_been_recorded(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8_000, 1, 0.35), 8_000)
    source = Recording("file", tmp_path / "a.wav", "real_time")
    earliest_ns, start_ns = time.time_ns(), time.monotonic_ns()
    for block in source.blocks():
        end_sample = block.first_sample + block.samples.shape[1]
        assert time.monotonic_ns() - start_ns >= end_sample * 1_000_000_000 // 8_000
    assert earliest_ns <= source.start_unix_ns <= time.time_ns() - 350_000_000


def test_stop_ends_a_wait_from_another_thread(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", tone(8_000, 1, 30.0), 8_000)
    source = Recording("file", tmp_path / "a.wav", "real_time")
    blocks = source.blocks()
    next(blocks)
    stopper = threading.Timer(0.05, source.stop)
    stopper.start()
    assert len(list(blocks)) < 50
    stopper.join()
    source.stop()  # again


def test_a_long_recording_is_not_read_whole(tmp_path: Path) -> None:
    """A sparse file of 2.6 hours, of which one second is read."""
    soundfile.write(tmp_path / "a.wav", tone(8_000, 1, 1.0), 8_000, subtype="PCM_16")
    with (tmp_path / "a.wav").open("r+b") as file:
        file.truncate(44 + 150_000_000)
        file.seek(40)
        file.write(struct.pack("<I", 150_000_000))
    source = Recording("file", tmp_path / "a.wav", "fast", 0)
    for block in source.blocks():
        assert block.samples.nbytes <= 32_000
        if block.first_sample >= 8_000:
            source.stop()
