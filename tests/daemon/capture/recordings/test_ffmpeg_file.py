"""Files that libsndfile does not read are read by ffmpeg, or the message names the missing program."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.capture.recordings.ffmpeg_file import FfmpegReader
from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.core.errors import SourceError
from support.recording_reader import read_until_error

RATE_HZ = 16_000


def needs_ffmpeg(test: Callable[..., None]) -> Callable[..., None]:
    """Mark a test of files that ffmpeg writes and reads."""
    present = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="ffmpeg is not installed")
    marked: Callable[..., None] = pytest.mark.external(present(test))
    return marked


def tone(seconds: float = 2.0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return 0.5 * np.sin(2 * np.pi * 440 * np.arange(round(RATE_HZ * seconds)) / RATE_HZ)


def encode(path: Path, *options: str, channels: int = 2) -> Path:
    """Encode a file with ffmpeg: a tone on the left channel and half of it on the right."""
    source = path.with_name("source.wav")
    soundfile.write(source, tone()[:, None] * np.array([1.0, 0.5])[:channels], RATE_HZ)
    subprocess.run(["ffmpeg", "-v", "error", "-i", source, *options, path], check=True, stdin=subprocess.DEVNULL)
    return path


@needs_ffmpeg
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("voice.m4a", ("-c:a", "aac")),
        ("voice.webm", ("-c:a", "libopus")),
        ("voice.wma", ("-c:a", "wmav2")),
        ("voice.wav", ("-c:a", "aac", "-f", "ipod")),
        ("-voice: 'ü' 100%.m4a", ("-c:a", "alac")),
    ],
)
def test_formats_that_only_ffmpeg_reads_keep_their_channels_and_length(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: tuple[str, ...]
) -> None:
    encode(tmp_path / name, *options)
    monkeypatch.chdir(tmp_path)
    recording = Recording("file", Path(name), "fast", 0)
    samples = np.concatenate([block.samples for block in recording.blocks()], axis=1)
    assert samples.shape[1] / recording.info.rate_hz == pytest.approx(2.0, abs=0.1)
    left, right = np.sqrt(np.square(samples).mean(axis=1))
    assert left == pytest.approx(0.5 / 2**0.5, rel=0.1)
    assert right == pytest.approx(left / 2, rel=0.1)
    assert recording.findings() == {}


@needs_ffmpeg
def test_a_damaged_file_is_read_up_to_the_damage_and_reported(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mka", "-c:a", "alac")
    path.write_bytes(path.read_bytes()[:20_000])
    recording, samples, message = Recording("file", path, "fast", 0), 0, ""
    try:
        for block in recording.blocks():
            samples += block.samples.shape[1]
    except SourceError as error:
        message = str(error)
    assert 0 < samples < 2 * RATE_HZ
    assert "ffmpeg" in " ".join([message, *recording.findings().values()])


@needs_ffmpeg
@pytest.mark.parametrize("options", [("-c:a", "flac", "-ar", "48000"), ("-c:a", "libspeex", "-ac", "1")])
def test_damage_of_an_ogg_file_that_only_ffmpeg_reads_is_reported(tmp_path: Path, options: tuple[str, ...]) -> None:
    """Cut a page, leave one out, and change bytes of one."""
    path = encode(tmp_path / "a.oga", *options, "-page_duration", "100000", "-f", "ogg")
    content = path.read_bytes()
    pages = [match.start() for match in re.finditer(b"OggS", content)]
    middle = pages[len(pages) // 2]
    assert Recording("file", path, "fast", 0).findings() == {}
    for damaged, sentence in (
        (content[: (pages[-2] + pages[-1]) // 2], "are no whole page of Ogg"),
        (content[:middle] + content[pages[len(pages) // 2 + 1] :], "pages of Ogg are missing"),
        (content[: middle + 60] + bytes(20) + content[middle + 80 :], "do not match their checksums"),
    ):
        path.write_bytes(damaged)
        recording = Recording("file", path, "fast", 0)
        assert sum(block.samples.shape[1] for block in recording.blocks()) > 0
        assert sentence in recording.findings()["damaged"]


@needs_ffmpeg
@pytest.mark.parametrize("codec", ["adpcm_yamaha", "adpcm_swf", "g726", "libmp3lame"])
def test_a_cut_wav_of_any_codec_is_reported(tmp_path: Path, codec: str) -> None:
    options = ("-ar", "8000", "-b:a", "32k") if codec == "g726" else ("-ar", "22050")
    path = encode(tmp_path / "a.wav", "-ac", "1", "-c:a", codec, *options)
    recording = Recording("file", path, "fast", 0)
    whole = sum(block.samples.shape[1] for block in recording.blocks())
    assert recording.findings() == {}
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    samples, message = read_until_error(path)
    assert 0.3 * whole < samples < 0.6 * whole
    assert "its header declares" in message


@needs_ffmpeg
@pytest.mark.parametrize(("name", "codec"), [("a.avi", "pcm_s16le"), ("a.mp4", "libopus"), ("a.mka", "pcm_s16le")])
def test_sound_that_is_missing_within_a_container_with_a_length_is_reported(
    tmp_path: Path, name: str, codec: str
) -> None:
    path = encode(tmp_path / name, "-c:a", codec, "-ar", "48000")
    content = path.read_bytes()
    third = len(content) // 3
    path.write_bytes(content[:third] + bytes(third) + content[2 * third :])
    recording = Recording("file", path, "fast", 0)
    assert 0 < sum(block.samples.shape[1] for block in recording.blocks()) < 1.8 * recording.info.rate_hz
    assert "shorter than its header estimates: 2.0" in recording.findings()["shorter than estimated"]


@needs_ffmpeg
@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.avi"])
def test_sound_that_ends_before_the_picture_or_begins_after_it_is_whole(tmp_path: Path, name: str) -> None:
    picture = ("-f", "lavfi", "-i", "color=size=16x16:rate=5:duration=6")
    soundfile.write(tmp_path / "b.wav", tone(), RATE_HZ)
    late = () if name == "a.avi" else ("-itsoffset", "1")
    options = (*picture, *late, "-i", str(tmp_path / "b.wav"), "-map", "1:v", "-map", "2:a", "-c:v", "mpeg4")
    recording = Recording("file", encode(tmp_path / name, *options), "fast", 0)
    samples = sum(block.samples.shape[1] for block in recording.blocks())
    assert samples / recording.info.rate_hz == pytest.approx(2.0, abs=0.15)
    assert recording.findings() == {}


@needs_ffmpeg
def test_a_cut_avi_file_is_refused_at_its_end(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.avi", "-c:a", "pcm_s16le")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "truncated or damaged: its header declares" in read_until_error(path)[1]


@needs_ffmpeg
def test_a_playlist_is_no_recording(tmp_path: Path) -> None:
    """Refuse a playlist, since ffmpeg would open every file in it."""
    soundfile.write(tmp_path / "secret.wav", tone(), RATE_HZ)
    (tmp_path / "a.m4a").write_text(f"ffconcat version 1.0\nfile '{tmp_path / 'secret.wav'}'\n")
    with pytest.raises(SourceError, match=r"a\.m4a is not a recording that can be read: .* ffmpeg says: "):
        Recording("file", tmp_path / "a.m4a", "fast", 0)


@needs_ffmpeg
def test_a_video_without_sound_is_no_recording(tmp_path: Path) -> None:
    size = ("-f", "lavfi", "-i", "color=size=16x16:rate=5:duration=1", "-map", "1:v", "-c:v", "mpeg4")
    with pytest.raises(SourceError, match=r"a.mp4 has no sound, such as a video without any. Give another file\.$"):
        Recording("file", encode(tmp_path / "a.mp4", *size), "fast", 0)


def test_where_ffmpeg_is_missing_the_message_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "voice.m4a").write_bytes(b"\0\0\0\x1cftypM4A " + bytes(100))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SourceError, match=r"program ffmpeg, which is missing: `sudo apt-get install ffmpeg`"):
        Recording("file", tmp_path / "voice.m4a", "fast", 0)


def test_of_countless_messages_the_last_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program of ffmpeg's name gives one sample, and prints more than a pipe holds."""
    program = tmp_path / "ffmpeg"
    program.write_text(
        f"#!{sys.executable}\nimport struct, sys\n"
        "sys.stdout.buffer.write(struct.pack('>4s5If', b'.snd', 24, 4, 6, 8000, 1, 0.5))\n"
        "for _ in range(100):\n    sys.stderr.write('an invalid packet\\n' * 1000)\n"
        "sys.stderr.write('the last packet is invalid\\n')\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    reader = FfmpegReader(tmp_path / "a.m4a")
    tracemalloc.start()
    frames = [reader.read(100), reader.read(100)]
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    reader.close()
    assert [len(part) for part in frames] == [1, 0]
    assert reader.notes["damaged"].endswith("ffmpeg says: the last packet is invalid.")
    assert peak_bytes < 500_000
