"""All sound of a file is read, however much or little its header declares."""

from __future__ import annotations

import contextlib
import struct
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.errors import SourceError
from support.recording_reader import read_until_error
from support.sound_files import DATA, FORM, PLAIN, RATE_HZ, SECOND_BYTES, SOUND, chunk, encoded, patched, read, riff


@pytest.mark.parametrize(
    ("content", "declared_s"),
    [
        (riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, 0), size=0), 0.0),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, 0), size=36), 0.0),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, SECOND_BYTES)), 1.0),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, SECOND_BYTES), size=36 + SECOND_BYTES), 1.0),
        (riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, SECOND_BYTES), size=0), 1.0),
        (b"RF64\xff\xff\xff\xffWAVE" + chunk(b"ds64", bytes(28)) + PLAIN[12:40] + b"\xff" * 4 + DATA, 0.0),
    ],
    ids=["zero", "zero and 36", "stale", "both stale", "stale and zero", "RF64 of zero"],
)
def test_a_wav_of_a_recorder_that_was_killed_is_read_to_its_end(
    tmp_path: Path, content: bytes, declared_s: float
) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    samples, notes = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(samples[0] * 32768, SOUND)
    (note,) = notes
    assert f"longer than its header declares: {declared_s:.3f} s are declared, 3.000 s are there" in note


@pytest.mark.parametrize(
    ("name", "options", "after", "offset", "value", "declared_s"),
    [
        ("a.aiff", {}, b"SSND", 4, struct.pack(">I", 8 + SECOND_BYTES), 1.0),
        ("a.au", {}, b".snd", 8, struct.pack(">I", SECOND_BYTES), 1.0),
        ("a.au", {}, b".snd", 8, bytes(4), 0.0),
        ("a.caf", {}, b"data", 4, struct.pack(">q", 4 + SECOND_BYTES), 1.0),
        ("a.caf", {}, b"data", 4, bytes(8), 0.0),
        ("a.w64", {}, b"data\xf3", 16, struct.pack("<Q", 24 + SECOND_BYTES), 1.0),
        ("a.flac", {}, b"fLaC", 22, struct.pack(">I", RATE_HZ), 1.0),
    ],
)
def test_other_headers_that_were_not_finished_are_no_end_either(
    tmp_path: Path, name: str, options: dict[str, str], after: bytes, offset: int, value: bytes, declared_s: float
) -> None:
    path = tmp_path / name
    sound = np.tile(SOUND, 20)  # a FLAC reader reads ahead
    soundfile.write(path, sound, RATE_HZ, subtype="PCM_16", **options)
    path.write_bytes(patched(bytearray(path.read_bytes()), after, offset, value))
    samples, notes = read(path)
    np.testing.assert_array_equal(samples[0] * 32768, sound)
    assert f"{declared_s:.3f} s are declared, 60.000 s are there" in notes[0]


@pytest.mark.parametrize(
    "content",
    [
        riff(chunk(b"fmt ", FORM), chunk(b"PEAK", bytes(12)), chunk(b"data", DATA)),
        riff(chunk(b"fmt ", FORM), chunk(b"LIST", b"INFOICMT" + struct.pack("<I", 7) + b"a note!", pad=False))
        + chunk(b"data", DATA),
        riff(chunk(b"JUNK", bytes(28)), chunk(b"fmt ", FORM), chunk(b"LIST", bytes(393_164)), chunk(b"data", DATA)),
        riff(
            chunk(b"fmt ", FORM), chunk(b"data", DATA), chunk(b"LIST", bytes(30)), chunk(b"id3 ", b"ID3\3" + bytes(6))
        ),
        riff(chunk(b"fmt ", FORM), chunk(b"data", DATA), chunk(b"guan", b"GUANO|Version: 1.0\n", pad=False)),
        PLAIN + b"LIST" + struct.pack("<I", 4_000) + bytes(100),
        PLAIN + b"TAG" + bytes(125),
        PLAIN + bytes(4_000),
        PLAIN + b"\0",
        b"ID3\3\0\0\0\0\0\x0a" + bytes(10) + PLAIN,
        riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, 0xFFFF_FFFF), size=0xFFFF_FFFF),
        riff(chunk(b"fmt ", FORM), chunk(b"data", DATA, 0x7FFF_F000)),
    ],
    ids=["PEAK", "odd", "long LIST", "after", "odd after", "cut LIST", "ID3v1", "zeros", "pad", "ID3v2", "pipe", "sox"],
)
def test_chunks_and_tags_before_and_after_the_sound_are_no_sound(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.wav").write_bytes(content)
    samples, notes = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(samples[0] * 32768, SOUND)
    assert notes == ()


def test_a_wav_beyond_4_gib_whose_size_wrapped_is_read_to_its_end(tmp_path: Path) -> None:
    """Write a sparse file; its end is reached by seeking, as in a scan."""
    total = 2**32 + len(DATA)
    path = tmp_path / "night.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORM), chunk(b"data", b"", len(DATA)), size=36 + len(DATA)))
    with path.open("r+b") as file:
        file.truncate(44 + total)
        file.seek(44 + total - len(DATA))
        file.write(DATA)
    recording = Recording("file", path, "fast", 0, first_sample=(total - len(DATA)) // 2)
    samples = np.concatenate([block.samples for block in recording.blocks()], axis=1)
    np.testing.assert_array_equal(samples[0] * 32768, SOUND)
    assert f"{total / SECOND_BYTES:.3f} s are there" in recording.findings()["longer than declared"]


def test_chunks_after_a_wrapped_size_are_no_sound(tmp_path: Path) -> None:
    total = 2**32 + len(DATA)
    path = tmp_path / "night.wav"
    path.write_bytes(riff(chunk(b"fmt ", FORM), chunk(b"data", b"", len(DATA)), size=36 + len(DATA)))
    with path.open("r+b") as file:
        file.truncate(44 + total)
        file.seek(44 + total)
        file.write(chunk(b"LIST", b"INFO" * 5_000))
    recording = Recording("file", path, "fast", 0, first_sample=total // 2 - 10)
    assert sum(block.samples.shape[1] for block in recording.blocks()) == 10


@pytest.mark.parametrize("name", ["a.wav", "a.flac", "a.ogg", "a.opus", "a.mp3"])
def test_joined_files_are_read_one_after_the_other(tmp_path: Path, name: str) -> None:
    options = {"format": "OGG", "subtype": "OPUS"} if name == "a.opus" else {}
    content = encoded(tmp_path / name, **options)
    one, _ = read(tmp_path / name)
    (tmp_path / name).write_bytes(bytes(content) * 3)
    samples, notes = read(tmp_path / name)
    assert samples.shape[1] >= 3 * one.shape[1]
    assert samples.shape[1] <= 3 * one.shape[1] + 3 * 1152 * 2, "no more than the frames' own delays"
    level = np.sqrt(np.square(samples[0, -one.shape[1] :]).mean())
    assert level == pytest.approx(np.sqrt(np.square(one).mean()), rel=0.1)
    assert name == "a.mp3" or notes == ()


def test_a_link_of_another_rate_ends_with_a_message(tmp_path: Path) -> None:
    content = encoded(tmp_path / "a.ogg")
    soundfile.write(tmp_path / "b.ogg", SOUND, 16_000)
    (tmp_path / "a.ogg").write_bytes(bytes(content) + (tmp_path / "b.ogg").read_bytes())
    samples, message = read_until_error(tmp_path / "a.ogg")
    assert samples == len(SOUND)
    assert "after 3.000 s the rate changes from 8000 to 16000 Hz" in message


def test_a_link_with_other_channels_is_read(tmp_path: Path) -> None:
    content = encoded(tmp_path / "a.ogg")
    soundfile.write(tmp_path / "b.ogg", np.stack([SOUND, SOUND], axis=1), RATE_HZ)
    (tmp_path / "a.ogg").write_bytes(bytes(content) + (tmp_path / "b.ogg").read_bytes())
    samples, _ = read(tmp_path / "a.ogg")
    assert samples.shape == (1, 2 * len(SOUND))


@pytest.mark.parametrize("subtype", ["VORBIS", "OPUS"])
def test_damage_within_an_ogg_file_is_reported_and_the_rest_is_read(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.ogg", np.tile(SOUND, 3), RATE_HZ, format="OGG", subtype=subtype)
    content = (tmp_path / "a.ogg").read_bytes()
    pages = [place for place in range(len(content)) if content[place : place + 4] == b"OggS"]
    lost, following = pages[3], pages[4]
    whole = read(tmp_path / "a.ogg")[0].shape[1]
    for damaged, message in (
        (
            content[:lost] + content[following:],
            "pages of Ogg are missing or do not match their checksums (1), and their sound is lost",
        ),
        (content[: following - 9] + bytes(3) + content[following - 6 :], "pages of Ogg are missing"),
        (content[: following - 9], "bytes are no whole page of Ogg, and their sound is lost"),
        (content[: pages[-1]], "its last pages of Ogg are missing, and their sound is lost"),
    ):
        (tmp_path / "a.ogg").write_bytes(damaged)
        samples, notes = read(tmp_path / "a.ogg")
        assert 0 < samples.shape[1] < whole
        assert message in notes[0]


def test_bytes_behind_the_last_page_of_an_ogg_file_are_no_damage(tmp_path: Path) -> None:
    content = bytes(encoded(tmp_path / "a.ogg"))
    (tmp_path / "a.ogg").write_bytes(content + bytes(5_000))
    samples, notes = read(tmp_path / "a.ogg")
    assert (samples.shape[1], notes) == (len(SOUND), ())


@pytest.mark.parametrize("declared", [True, False])
@pytest.mark.parametrize("offset", [0, 1_500, 3_000])
def test_a_flac_file_is_read_on_after_damage(tmp_path: Path, offset: int, declared: bool) -> None:
    soundfile.write(tmp_path / "a.flac", np.tile(SOUND, 10), RATE_HZ)
    content = bytearray((tmp_path / "a.flac").read_bytes())
    if not declared:
        content[21] &= 0xF0
        content[22:26] = bytes(4)
    for middle in (len(content) // 2 + offset, len(content) * 3 // 4):
        content[middle : middle + 500] = bytes(500)
    (tmp_path / "a.flac").write_bytes(content)
    samples, notes = read(tmp_path / "a.flac")
    assert samples.shape[1] >= 240_000 - 4 * 4_096
    np.testing.assert_array_equal(samples[0, -9_000:] * 32768, SOUND[-9_000:])
    assert "s of sound do not decode and were left out" in notes[0]


def test_several_data_chunks_of_a_wav_are_read_one_after_the_other(tmp_path: Path) -> None:
    data = chunk(b"data", DATA)
    for chunks in ((data, data), (data, chunk(b"LIST", b"INFO"), data)):
        (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", FORM), *chunks))
        np.testing.assert_array_equal(read(tmp_path / "a.wav")[0][0] * 32768, np.tile(SOUND, 2))


def test_a_format_without_bits_takes_them_from_the_bytes_of_a_frame(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", FORM[:14]), chunk(b"data", DATA)))
    np.testing.assert_array_equal(read(tmp_path / "a.wav")[0][0] * 32768, SOUND)


@pytest.mark.parametrize(
    ("name", "options", "error"),
    [
        ("ima.wav", {"subtype": "IMA_ADPCM"}, 20_000),
        ("ms.wav", {"subtype": "MS_ADPCM"}, 20_000),
        ("a.wav", {"subtype": "GSM610"}, 20_000),
        ("mulaw.wav", {"subtype": "ULAW"}, 1_000),
        ("rifx.wav", {"subtype": "PCM_16", "endian": "BIG"}, 0),
        ("extensible.wav", {"subtype": "PCM_24", "format": "WAVEX"}, 1),
        ("long.rf64", {"subtype": "PCM_16", "format": "RF64"}, 0),
        ("wave.w64", {"subtype": "PCM_24"}, 1),
        ("little.aifc", {"subtype": "PCM_16", "format": "AIFF", "endian": "LITTLE"}, 0),
        ("UPPER.WAV", {"subtype": "PCM_16"}, 0),
        ("wrongly-named.mp3", {"subtype": "PCM_16", "format": "WAV"}, 0),
    ],
)
def test_every_kind_of_wav_keeps_its_samples(tmp_path: Path, name: str, options: dict[str, str], error: float) -> None:
    soundfile.write(tmp_path / name, SOUND, RATE_HZ, **options)
    samples, notes = read(tmp_path / name)
    whole, _ = soundfile.read(tmp_path / name, dtype="float32")
    np.testing.assert_array_equal(samples[0, : len(SOUND)], whole[: len(SOUND)], "blocks of an ADPCM codec are longer")
    assert np.abs(samples[0, : len(SOUND)] * 32768 - SOUND).max() <= error
    assert notes == ()


def test_24_bits_in_32_are_read_as_24(tmp_path: Path) -> None:
    guid = bytes.fromhex("0100000000001000800000aa00389b71")
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, RATE_HZ, 4 * RATE_HZ, 4, 32, 22, 24, 4) + guid
    data = (SOUND.astype("<i4") << 16).tobytes()
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", form), chunk(b"data", data)))
    samples, _ = read(tmp_path / "a.wav")
    np.testing.assert_array_equal(samples[0] * 32768, SOUND)


def test_a_header_without_sound_and_with_chunks_after_it_is_empty(tmp_path: Path) -> None:
    (tmp_path / "a.wav").write_bytes(riff(chunk(b"fmt ", FORM), chunk(b"data", b""), chunk(b"LIST", bytes(30))))
    with pytest.raises(SourceError, match="contains a header but no sound"):
        Recording("file", tmp_path / "a.wav", "fast", 0)


def test_one_sample_is_one_sample(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.wav", SOUND[:1], RATE_HZ)
    assert read(tmp_path / "a.wav")[0].shape == (1, 1)


@pytest.mark.parametrize("seed", range(18))
def test_a_damaged_recording_is_read_or_refused_in_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    """Bytes are changed, removed and inserted in the headers of all formats; other errors are bugs."""
    monkeypatch.setenv("PATH", str(tmp_path))  # ffmpeg is not ours to test
    rng = np.random.default_rng(seed)
    formats = ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.caf", "a.au", "a.w64", "a.rf64"]
    path = tmp_path / formats[seed % len(formats)]
    soundfile.write(path, SOUND[:4_000], RATE_HZ)
    content = bytearray(path.read_bytes())
    for _ in range(10):
        damaged = content.copy()
        for _ in range(3):
            place = int(rng.integers(0, 200))
            damaged[place : place + int(rng.integers(0, 3))] = rng.bytes(int(rng.integers(0, 3)))
        path.write_bytes(damaged[: int(rng.integers(1, len(damaged)))] if rng.random() < 0.3 else damaged)
        with contextlib.suppress(SourceError):
            list(Recording("file", path, "fast", 0).blocks())
