"""A small set of everyday sounds with metadata, in the layout of the real one."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from soundwatch.training.data.datasets.everyday_sounds import COLUMNS
from support.wav_files import write_wav

RATE_HZ = 16_000


def write_everyday_folder(root: Path, recordings: int = 12, length_s: float = 2.0) -> Path:
    """Noise for streets and footsteps, tones that are no class for bells, and a street with tags."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(recordings):
        rows += [
            _write(root, "street", f"s{number}", _noise(rng, length_s, 0.02)),
            _write(root, "footsteps", f"f{number}", _noise(rng, 0.2, 0.2)),
            _write(root, "doorbell", f"d{number}", _tone(3500, length_s), near_target="siren"),
        ]
    rows += [
        _write(root, "street_nyc", "sensor1", _noise(rng, length_s, 0.02), labels="human_voice"),
        _write(root, "street_nyc", "sensor2", _noise(rng, length_s, 0.02), labels="alert_signal|engine"),
        _write(root, "siren", "siren1", _tone(2600, length_s), is_target_class="siren"),
        _write(root, "cat", "cat1", _noise(rng, length_s, 0.1), contaminated="dog_bark 0.81|music 0.61"),
        _write(root, "drums", "drums1", _noise(rng, length_s, 0.1), near_target="street_music"),
    ]
    with (root / "metadata.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    return root


def _write(root: Path, kind: str, recording: str, samples: np.ndarray, **columns: str) -> dict[str, str]:
    path = root / kind / f"{recording}.wav"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_wav(path, samples, RATE_HZ)
    return dict.fromkeys(COLUMNS, "") | {"file": f"{kind}/{path.name}", "kind": kind, "recording": recording} | columns


def _noise(rng: np.random.Generator, length_s: float, level: float) -> np.ndarray:
    return level * rng.standard_normal(round(length_s * RATE_HZ))


def _tone(frequency_hz: float, length_s: float) -> np.ndarray:
    return 0.3 * np.sin(2 * np.pi * frequency_hz * np.arange(round(length_s * RATE_HZ)) / RATE_HZ)
