"""A data set of tones that trains in a second, in UrbanSound8K's own layout.

Conventions: a run draws its pictures only in a test that takes the fixture `run_pictures`: drawing took a third of the
time of small runs. The synthetic sounds of class folders are written once a session.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from soundwatch.training.data.datasets.synthetic_sounds import VERSION
from soundwatch.training.fit.epochs.loop import Row
from soundwatch.training.fit.scores.metrics import Counts
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import parse_recipe
from support.urbansound8k_folder import write_data

TINY_RECIPE = """
name: tiny
features: {rate_hz: 8000, channels: 2, window_ms: 500, window_hop_frames: 8, n_fft: 256, hop_samples: 128, n_mels: 16,
  mel_min_hz: 0, mel_max_hz: 4000, mel_scale: htk, mel_norm: none, padding: reflect, power_floor: 1.0e-10, top_db: 80,
  top_db_peak: example, normalisation: example, normalisation_floor_db: 1.0e-3}
network: {kind: pooled, widths: [4, 8], strides: [2, 2], dropout_share: 0.1}
activation: sigmoid
augmentation: {speeds_percent: [90, 100, 110], time_shift_share: 0.4, gain_db: 6, noise_probability: 0.5,
  band_jitter_db: 2, frequency_masks: 2, frequency_mask_share: 0.1, time_masks: 2, time_mask_share: 0.1,
  mixup_alpha: 0.3, synthetic_negative_share: 0.1}
optimisation: {max_learning_rate: 1.0e-2, anneal: cos, weight_decay: 1.0e-2, label_smoothing_share: 0.05,
  ema_decay: 0.9}
batch_clips: 8
epochs: 3
seed: 5
"""

NUMBERS = itertools.count()


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def synthetic_sounds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of synthetic sounds, which the first run that needs them fills."""
    return tmp_path_factory.mktemp("synthetic")


@pytest.fixture(autouse=True)
def _own_cache(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch, synthetic_sounds: Path
) -> None:
    home = tmp_path_factory.getbasetemp() / f"cache-{next(NUMBERS)}"
    (home / "soundwatch").mkdir(parents=True)
    (home / "soundwatch" / f"synthetic-{VERSION}").symlink_to(synthetic_sounds)
    monkeypatch.setenv("XDG_CACHE_HOME", str(home))


@pytest.fixture(autouse=True)
def _no_wait_for_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out the synchronization with the disk of clips and checkpoints, which no test sees."""
    monkeypatch.setattr(os, "fsync", _check_descriptor)


def _check_descriptor(descriptor: int) -> None:
    os.fstat(descriptor)


@pytest.fixture
def run_pictures() -> None:
    """Have runs draw their pictures."""


@pytest.fixture(autouse=True)
def _no_run_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if "run_pictures" not in request.fixturenames:
        monkeypatch.setattr("soundwatch.training.fit.runs.run.draw_curves", _check_curves)
        monkeypatch.setattr("soundwatch.training.fit.runs.held_out_scores.draw_confusion", _check_confusion)


def _check_curves(path: Path, history: Sequence[Row]) -> None:
    assert path.parent.is_dir()
    assert history


def _check_confusion(path: Path, confusion: Counts, labels: Sequence[str], _title: str) -> None:
    assert path.parent.is_dir()
    assert confusion.shape == (len(labels), len(labels))


@pytest.fixture(scope="session")
def tiny_recipe() -> Recipe:
    return parse_recipe(TINY_RECIPE, "the test's recipe")


@pytest.fixture
def tiny_recipe_file(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(TINY_RECIPE)
    return path


@pytest.fixture
def tiny_data(tmp_path: Path) -> Path:
    """Folds 1 and 2 whole; fold 3 listed with 10 clips and there with 9; every clip a tone of its class's pitch."""
    root = tmp_path / "UrbanSound8K"
    write_data(root, folds=(1, 2, 3))
    (root / "audio" / "fold3" / "300-0-0-0.wav").unlink()
    return root
