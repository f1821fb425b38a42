"""Inference on a server, through the whole program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, VALIDATOR, lines_of, soundwatch, was_overloaded
from support.fakes import SMALL_CONTRACT, silence, tone
from support.kserve_server import KServe, write_repository

pytest.importorskip("tritonclient.http", reason="tritonclient is not installed: pip install '.[triton]'")
CONFIG = """
node: test
detection: {min_duration_s: 0.1, cooldown_s: 0.3, update_s: 0.4}
"""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


@pytest.fixture
def common(tmp_path: Path, model: Path) -> tuple[str, ...]:
    (tmp_path / "config.yaml").write_text(CONFIG)
    return "--model", str(model), "--config", str(tmp_path / "config.yaml")


@pytest.fixture
def kserve(tmp_path: Path, model: Path) -> Iterator[KServe]:
    server = KServe(write_repository(tmp_path / "repository", model, SMALL_CONTRACT))
    yield server
    server.stop()


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    """Write nine seconds with three tones."""
    path = tmp_path / "scene.wav"
    soundfile.write(path, np.tile(np.concatenate([silence(1.0), tone(300, 1.0), silence(1.0)], axis=1), 3).T, 8000)
    return path


def test_a_server_gives_the_local_models_events_and_they_name_it(
    kserve: KServe, scene: Path, common: tuple[str, ...]
) -> None:
    local = lines_of(soundwatch("replay", scene, *common).stdout)
    remote = lines_of(soundwatch("replay", scene, *common, "--backend", f"triton://{kserve.address}").stdout)
    assert {line["provider"] for line in remote if "provider" in line} == {f"triton://{kserve.address}"}
    # Rounding depends on the batch size; reasons against local accelerators are of the local model.
    rounded = {"provider", "unused_providers", "score", "peak_score"}
    assert [{key: line[key] for key in line if key not in rounded} for line in remote] == [
        {key: line[key] for key in line if key not in rounded} for line in local
    ]


def test_losing_and_regaining_the_server_is_reported_and_no_window_is_lost(
    kserve: KServe, scene: Path, common: tuple[str, ...]
) -> None:
    url = f"triton://{kserve.address}"
    command = [SOUNDWATCH, "run", "--device", str(scene), *common, "--backend", url]
    lines = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as program:
        assert program.stdout is not None
        for text in program.stdout:
            line = json.loads(text)
            VALIDATOR.validate(line)
            lines.append(line)
            ends = sum(event["type"] == "end" for event in lines)
            if (line["type"], ends) == ("end", 1):
                kserve.stop()
            if (line["type"], ends) == ("end", 2):
                kserve.start()
    assert program.returncode == 0
    running, seen = lines[0]["provider"], []
    for line in lines[1:]:
        if line.get("reason") == "provider":
            assert (line["before"], line["source"]) == (running, None)
            assert line["detail"]
            running = line["provider"]
            seen.append(running)
        assert line.get("provider", running) == running, "every event names the provider of the last health line"
    assert seen[:2] == ["CPUExecutionProvider", url], "lost, then available again"
    assert not [line for line in lines if line["type"] == "gap"]
    assert (lines[-1]["type"], lines[-1]["coverage"]) == ("stats", 1.0)
    assert lines[-1]["windows"] == 87 or was_overloaded(lines), "windows come less often on an overloaded machine"


def test_the_program_runs_without_the_server(kserve: KServe, scene: Path, common: tuple[str, ...]) -> None:
    kserve.stop()
    done = soundwatch("replay", scene, *common, "--backend", f"triton://{kserve.address}")
    assert done.returncode == 0
    assert {line.get("provider", "CPUExecutionProvider") for line in lines_of(done.stdout)} == {"CPUExecutionProvider"}


@pytest.mark.parametrize(
    ("backend", "message", "code"),
    [
        ("triton://host", b"--backend triton://host is unknown", 2),
        ("triton://user:secret@host:8000", b"is unknown; use auto", 2),
        ("tensorflow", b"--backend tensorflow is unknown", 2),
    ],
)
def test_an_unknown_backend_is_refused(
    scene: Path, common: tuple[str, ...], backend: str, message: bytes, code: int
) -> None:
    done = soundwatch("replay", scene, *common, "--backend", backend)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr


def test_a_scan_refuses_a_server(scene: Path, common: tuple[str, ...], tmp_path: Path) -> None:
    done = soundwatch("scan", scene, "--out", tmp_path / "a.csv", *common, "--backend", "triton://127.0.0.1:8000")
    assert done.returncode == 2
    assert b"is for live sources" in done.stderr
