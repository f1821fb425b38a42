"""`soundwatch run` on recordings in real time, several at once, and with one that is broken."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch, was_overloaded
from support.fakes import silence, tone

RATE_HZ = 16_000
DETECTION = "detection: {min_duration_s: 0.1, cooldown_s: 0.3}\n"
SAME = ("type", "class", "score", "peak_score", "level_dbfs", "duration_s", "reason", "windows", "coverage")


def write_recording(path: Path, frequency_hz: float) -> Path:
    sound = [silence(0.5, RATE_HZ), tone(frequency_hz, 1, RATE_HZ), silence(0.7, RATE_HZ)]
    soundfile.write(path, np.concatenate(sound, axis=1).T, RATE_HZ)
    return path


def without_sound_server(folder: Path) -> dict[str, str]:
    """Return an environment in which no microphone is found."""
    return {**os.environ, "PULSE_SERVER": str(folder / "none"), "XDG_RUNTIME_DIR": str(folder)}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


def what(lines: list[dict[str, Any]], source: str) -> list[tuple[Any, ...]]:
    return [tuple(line.get(key) for key in SAME) for line in lines if line["source"] == source]


def test_recordings_in_real_time_give_the_lines_of_a_replay(model: Path, tmp_path: Path) -> None:
    low, high = write_recording(tmp_path / "low.wav", 300), write_recording(tmp_path / "high.wav", 3000)
    config = tmp_path / "config.yaml"
    config.write_text(f"sources: {{low: {{device: {low}}}, high: {{device: {high}}}}}\n{DETECTION}")
    live = soundwatch("run", "--config", config, "--model", model)
    assert live.returncode == 0, live.stderr
    lines = lines_of(live.stdout)
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    replayed = lines_of(soundwatch("replay", low, high, "--config", config, "--model", model).stdout)
    for source in ("low", "high"):
        live_lines, replay_lines = what(lines, source), what(replayed, source)
        if was_overloaded(lines):  # windows come less often then, so scores and times differ
            live_lines, replay_lines = [line[:2] for line in live_lines], [line[:2] for line in replay_lines]
        assert live_lines == replay_lines
        assert len(live_lines) == 4


def test_a_source_that_breaks_does_not_stop_the_others(model: Path, tmp_path: Path) -> None:
    whole = write_recording(tmp_path / "whole.wav", 300)
    cut = tmp_path / "cut.wav"
    cut.write_bytes(whole.read_bytes()[:30_000])
    config = tmp_path / "config.yaml"
    config.write_text(f"sources: {{cut: {{device: {cut}}}, whole: {{device: {whole}}}}}\n{DETECTION}")
    done = soundwatch("run", "--config", config, "--model", model)
    assert done.returncode == 0, "one was heard to its end"
    assert b"source_failed" in done.stderr
    assert [line["type"] for line in lines_of(done.stdout) if line["source"] == "whole"][-1] == "stats"
    alone = soundwatch("run", "--config", config, "--model", model, "--device", "cut")
    assert alone.returncode == 4, "all were lost"


def test_a_recording_ends_with_the_findings_that_replay_reports(model: Path, tmp_path: Path) -> None:
    sound = np.random.default_rng(1).normal(0, 0.1, 12_000)
    path = tmp_path / "dead.wav"
    soundfile.write(path, np.stack([sound, 0 * sound], axis=1), 8_000)
    found = [
        {key: msgspec.json.decode(line)[key] for key in ("event", "level", "file", "advice")}
        for command in (("run", "--device", path), ("replay", path))
        for line in soundwatch(*command, "--model", model).stderr.splitlines()
        if msgspec.json.decode(line)["event"] == "dead_channel"
    ]
    assert len(found) == 2
    assert found[0] == found[1]


def test_the_default_microphone_is_waited_for_without_a_configuration_too(model: Path, tmp_path: Path) -> None:
    daemon = subprocess.Popen(
        [SOUNDWATCH, "run", "--model", str(model)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=without_sound_server(tmp_path),
    )
    assert daemon.stdout is not None
    line = msgspec.json.decode(daemon.stdout.readline())
    assert (line["type"], line["state"], line["source"]) == ("health", "waiting", "mic0")
    daemon.send_signal(signal.SIGTERM)
    _, log = daemon.communicate(timeout=60)
    assert daemon.returncode == 0
    assert b"source_waiting" in log
    assert b"No microphone" in log


def test_an_unknown_source_is_refused(model: Path, tmp_path: Path) -> None:
    done = soundwatch("run", "--device", tmp_path / "none.wav", "--model", model)
    assert done.returncode == 4
    assert b"none.wav" in done.stderr
    assert done.stdout == b""


def test_a_broken_pcm_format_is_refused_with_one_that_works(model: Path) -> None:
    done = soundwatch("run", "--device", "-", "--pcm", "s17le,1,1", "--model", model, stdin=-3)
    assert done.returncode == 2
    assert b"s16le" in done.stderr


def test_raw_samples_over_tcp_become_events_and_the_program_waits_for_more(model: Path) -> None:
    sound = np.concatenate([silence(0.5, RATE_HZ), tone(300, 1.5, RATE_HZ), silence(1, RATE_HZ)], axis=1)
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"pcm+tcp://127.0.0.1:{server.getsockname()[1]}"
        command = [SOUNDWATCH, "run", "--device", address, "--pcm", "s16le,16000,1", "--model", str(model)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as daemon:
            assert daemon.stdout is not None
            for _ in range(2):
                client, _ = server.accept()
                with client:
                    client.sendall((sound * 32767).astype("<i2").tobytes())
            text = b""
            while b'"back"' not in text:
                text += daemon.stdout.readline()
            daemon.send_signal(signal.SIGTERM)
            lines = lines_of(text + daemon.stdout.read())
    assert daemon.returncode == 0
    assert {line["source"] for line in lines} == {"127.0.0.1"}
    states = [line["state"] for line in lines if line["type"] == "health"]
    assert [state for state in states if state in ("lost", "back")][:2] == ["lost", "back"]
    assert len([line for line in lines if line["type"] == "start"]) >= 1


CLASSES_OF_CHANNELS = {"left": ["low"], "right": ["high"], "mix": ["high", "low"]}


@pytest.fixture(scope="module")
def both_tones(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return a recording with a low tone left and a high one right, and a model of the two."""
    folder = tmp_path_factory.mktemp("channels")
    both = np.concatenate([tone(300, 2, RATE_HZ), tone(3000, 2, RATE_HZ)])
    soundfile.write(folder / "both.wav", both.T, RATE_HZ)
    return folder / "both.wav", write_band_model(folder / "bands.onnx")


@pytest.fixture(scope="module")
def selected(both_tones: tuple[Path, Path]) -> list[dict[str, Any]]:
    """Return the lines of one run with that recording as sources of different channels."""
    recording, model = both_tones
    config = recording.with_name("config.yaml")
    sources = [f"{name}: {{device: {recording}, channels: {name}}}" for name in CLASSES_OF_CHANNELS]
    config.write_text(f"sources: {{{', '.join(sources)}}}\n")
    return lines_of(soundwatch("run", "--config", config, "--model", model, "--journal", "memory").stdout)


@pytest.mark.parametrize("channels", CLASSES_OF_CHANNELS)
def test_the_selected_channels_of_a_source_are_used(selected: list[dict[str, Any]], channels: str) -> None:
    started = [line["class"] for line in selected if line["type"] == "start" and line["source"] == channels]
    assert sorted(started) == CLASSES_OF_CHANNELS[channels]


def test_the_channels_of_a_typed_source_are_used(both_tones: tuple[Path, Path]) -> None:
    recording, model = both_tones
    done = soundwatch("run", "--device", recording, "--channels", "right", "--model", model)
    assert [line["class"] for line in lines_of(done.stdout) if line["type"] == "start"] == ["high"]


def test_a_folder_is_one_live_source_and_many_replayed_ones(model: Path, tmp_path: Path) -> None:
    write_recording(tmp_path / "1.wav", 300)
    write_recording(tmp_path / "2.wav", 3000)
    live = lines_of(soundwatch("run", "--device", tmp_path, "--model", model).stdout)
    assert [line["class"] for line in live if line["type"] == "start"] == ["low", "high"]
    assert len({line["source"] for line in live} - {None}) == 1, "only a line about overload has no source"
    assert len([line for line in live if line["type"] == "hello"]) == 1
    replayed = lines_of(soundwatch("replay", tmp_path, "--model", model).stdout)
    assert [line["source"] for line in replayed if line["type"] == "hello"] == ["1", "2"]
