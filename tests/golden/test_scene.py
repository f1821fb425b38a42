"""A scene's events, line by line as they were when someone last looked at them.

Rewrite with `pytest tests/golden --rewrite-golden`, and look at the difference.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import lines_of, soundwatch
from support.fakes import silence, tone

GOLDEN = Path(__file__).with_name("scene.jsonl")
CONFIG = "node: golden\ndetection: {min_duration_s: 0.1, cooldown_s: 0.3, update_s: 0.4}\n"
NOT_COMPARED = {"id", "version", "model"}  # they change with every release


@pytest.mark.slow
def test_the_events_of_a_known_scene_are_unchanged(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    import numpy as np

    rate_hz = 16_000
    scene = np.concatenate(
        [silence(1.0, rate_hz), tone(300, 1.4, rate_hz), silence(0.9, rate_hz), tone(3000, 0.8, rate_hz, 0.2)], axis=1
    )
    soundfile.write(tmp_path / "scene.wav", scene.T, rate_hz, subtype="PCM_16")
    (tmp_path / "config.yaml").write_text(CONFIG)
    model = write_band_model(tmp_path / "bands.onnx")
    done = soundwatch("replay", "scene.wav", "--model", model, "--config", "config.yaml", cwd=tmp_path)
    if request.config.getoption("--rewrite-golden"):
        GOLDEN.write_bytes(done.stdout)
        pytest.skip("rewritten: now look at the difference")
    now, before = lines_of(done.stdout), [json.loads(line) for line in GOLDEN.read_text().splitlines()]
    assert len(now) == len(before)
    for line, golden in zip(now, before, strict=True):
        for key in golden.keys() - NOT_COMPARED:
            wanted = pytest.approx(golden[key], abs=1e-3) if isinstance(golden[key], float) else golden[key]
            assert line[key] == wanted, key
