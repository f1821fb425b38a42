"""Bad input gives one message, the documented exit code, and no wrong event."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.fakes import tone

RATE_HZ = 16_000
TONE = tone(300, 3.0, RATE_HZ).T


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_band_model(tmp_path_factory.mktemp("model") / "bands.onnx")


def wav(path: Path, samples: np.ndarray = TONE, rate_hz: int = RATE_HZ, subtype: str = "PCM_16") -> Path:
    soundfile.write(path, samples, rate_hz, subtype=subtype)
    return path


VARIANTS = {
    "pcm_u8": (RATE_HZ, 1, "PCM_U8"),
    "pcm_24": (RATE_HZ, 1, "PCM_24"),
    "float": (RATE_HZ, 1, "FLOAT"),
    "double": (RATE_HZ, 1, "DOUBLE"),
    "8khz": (8_000, 1, "PCM_16"),
    "192khz": (192_000, 1, "PCM_16"),
    "six_channels": (RATE_HZ, 6, "PCM_16"),
    "stereo_32": (44_100, 2, "PCM_32"),
}


@pytest.fixture(scope="module")
def replayed(model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Return the lines of one replay of a tone in each rate, depth and number of channels."""
    place = tmp_path_factory.mktemp("variants")
    paths = [
        wav(place / f"{name}.wav", np.repeat(tone(300, 3.0, rate_hz).T, channels, axis=1), rate_hz, subtype)
        for name, (rate_hz, channels, subtype) in VARIANTS.items()
    ]
    return lines_of(soundwatch("replay", *paths, "--model", model).stdout)


@pytest.mark.parametrize("name", VARIANTS)
def test_every_rate_depth_and_channel_count_gives_equal_events(replayed: list[dict[str, Any]], name: str) -> None:
    lines = [line for line in replayed if line["source"] == name]
    low = [line for line in lines if line.get("class") == "low"]
    assert [line["type"] for line in low] == ["start", "end"]
    assert low[0]["level_dbfs"] == pytest.approx(-9.0, abs=0.3)
    assert (low[0]["onset"][-7:], low[1]["duration_s"]) == ("00.000Z", pytest.approx(3.0, abs=0.01))
    assert name == "pcm_u8" or low == lines[1:3], "eight bits hiss"


def empty(path: Path) -> None:
    path.write_bytes(b"")


def header_only(path: Path) -> None:
    wav(path, TONE[:0])


def text(path: Path) -> None:
    path.write_text("this is a letter\n" * 500)


def holds_nan(path: Path) -> None:
    samples = TONE.copy()
    samples[30_000] = np.nan
    wav(path, samples, subtype="FLOAT")


def folder(path: Path) -> None:
    path.mkdir()


def nothing(path: Path) -> None:
    del path


WITHOUT_SOUND = {make.__name__: make for make in (empty, header_only, text, folder, nothing)}


@pytest.fixture(scope="module", params=["replay", "classify"])
def read_files(
    request: pytest.FixtureRequest, model: Path, tmp_path_factory: pytest.TempPathFactory
) -> subprocess.CompletedProcess[bytes]:
    """Return the end of a command that reads each file without sound, and a tone after each."""
    place = tmp_path_factory.mktemp("files")
    paths: list[Path] = []
    for name, make in WITHOUT_SOUND.items():
        paths += [place / f"bad_{name}.wav", wav(place / f"after_{name}.wav")]
        make(paths[-2])
    return soundwatch(request.param, *paths, "--model", model)


@pytest.mark.parametrize("name", WITHOUT_SOUND)
def test_a_file_without_sound_is_refused_and_the_next_is_read(
    read_files: subprocess.CompletedProcess[bytes], name: str
) -> None:
    assert read_files.returncode == 4
    reported = [line for line in read_files.stderr.splitlines() if f"bad_{name}.wav".encode() in line]
    assert reported
    assert b"recording_failed" in reported[0] or b"5 of 10 recordings could not be scored" in read_files.stderr
    assert f"after_{name}".encode() in read_files.stdout
    assert b"bad" not in read_files.stdout


def test_a_truncated_file_is_read_to_its_end_and_the_rest_is_reported(model: Path, tmp_path: Path) -> None:
    whole = wav(tmp_path / "whole.wav").read_bytes()
    path = tmp_path / "cut.wav"
    path.write_bytes(whole[: len(whole) * 2 // 3])
    done = soundwatch("replay", path, "--model", model)
    assert done.returncode == 4
    assert b"cut.wav" in done.stderr
    lines = lines_of(done.stdout)
    assert [line["type"] for line in lines] == ["hello", "start", "end", "stats"]
    assert lines[2]["reason"] == "source_lost"
    assert lines[3]["duration_s"] == pytest.approx(2.0, abs=0.05), "the resampler still holds 30 ms"


def test_a_sample_that_is_not_finite_ends_the_recording(model: Path, tmp_path: Path) -> None:
    path = tmp_path / "nan.wav"
    holds_nan(path)
    done = soundwatch("replay", path, "--model", model)
    assert done.returncode == 4
    assert b"30000" in done.stderr.replace(b",", b"").replace(b"_", b"")
    lines_of(done.stdout)


def test_a_corrupt_and_a_contractless_model_are_refused(tmp_path: Path) -> None:
    sound = wav(tmp_path / "tone.wav")
    (tmp_path / "garbage.onnx").write_bytes(os.urandom(4096))
    done = soundwatch("replay", sound, "--model", tmp_path / "garbage.onnx")
    assert done.returncode == 3
    assert b"garbage.onnx does not read as ONNX" in done.stderr
    assert done.stdout == b""


def test_a_wrong_configuration_is_refused_with_the_nearest_name(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("sources: {mic0: {devcie: USB}}")
    done = soundwatch("run", "--config", config, "--model", model)
    assert done.returncode == 2
    assert b"did you mean `device`?" in done.stderr


def test_a_configuration_that_the_model_contradicts_is_refused(model: Path, tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("detection: {classes: {lo: {threshold: 0.4}}}")
    for command in (("check-config", config), ("run", "--config", config, "--model", model)):
        config.write_text(f"model: {{file: {model}}}\ndetection: {{classes: {{lo: {{threshold: 0.4}}}}}}")
        done = soundwatch(*command)
        assert done.returncode == 2
        assert b"has no such class; did you mean low?" in done.stderr


@pytest.mark.skipif(os.name == "nt", reason="pipes end otherwise on Windows")
def test_a_closed_standard_output_ends_the_program_with_a_message(model: Path, tmp_path: Path) -> None:
    sound = wav(tmp_path / "tone.wav")
    reading, writing = os.pipe()
    os.close(reading)
    done = soundwatch("replay", sound, "--model", model, capture_output=False, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert done.returncode == 6
    assert b"The reader of stdout has gone" in done.stderr


@pytest.mark.parametrize("configured", [False, True], ids=["typed", "configured"])
def test_a_missing_portaudio_library_is_reported_with_the_package(
    model: Path, tmp_path: Path, configured: bool
) -> None:
    (tmp_path / "sitecustomize.py").write_text(
        "import ctypes.util\n"
        "find = ctypes.util.find_library\n"
        "ctypes.util.find_library = lambda name: None if 'portaudio' in name else find(name)\n"
    )
    (tmp_path / "config.yaml").write_text("sources: {mic0: {device: default}}")
    arguments: list[str | Path] = ["--config", tmp_path / "config.yaml"] if configured else []
    done = soundwatch("run", "--model", model, *arguments, env={"PYTHONPATH": str(tmp_path)})
    assert done.returncode == 4
    assert b"libportaudio2" in done.stderr


def test_raw_samples_on_standard_input_become_the_same_event(model: Path) -> None:
    raw = (TONE * 32767).astype("<i2").tobytes()
    done = subprocess.run(
        [SOUNDWATCH, "run", "--device", "-", "--pcm", "s16le,16000,1", "--model", str(model)],
        input=raw,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [line["type"] for line in lines_of(done.stdout)] == ["hello", "start", "end", "stats"]
    assert lines_of(done.stdout)[0]["source"] == "stdin"


def test_check_config_shows_a_urls_host_and_not_its_password(tmp_path: Path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("sources: {yard: {device: 'rtsp://admin:hunter2@camera.lan:554/live'}}\n")
    shown = soundwatch("check-config", config).stdout.decode()
    assert "rtsp://***@camera.lan:554/live" in shown
    assert "hunter2" not in shown
