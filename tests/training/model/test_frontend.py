"""torch's front end and the daemon's are one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.frontend.mel import mel_db
from soundwatch.training.data.audio.place import place_first
from soundwatch.training.data.windows.cache import decode
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.recipe_file import load_recipe

SPECS = [load_recipe(name).features for name in ("tutorial", "urban")]


def _probes(spec: FeatureSpec) -> dict[str, Samples]:
    seconds = np.arange(spec.window_samples) / spec.rate_hz
    rng = np.random.default_rng(3)
    sounds = {
        "silence": 0 * seconds,
        "noise": rng.normal(0, 0.1, spec.window_samples),
        "quiet noise": rng.normal(0, 1e-5, spec.window_samples),
        "tone": np.sin(2 * np.pi * 1000 * seconds),
        "chirp": 0.5 * np.sin(2 * np.pi * (100 + 1000 * seconds) * seconds),
        "click": np.eye(1, spec.window_samples, 5000)[0],
    }
    wide = {name: np.repeat(sound[None], spec.channels, 0) for name, sound in sounds.items()}
    if spec.channels == 2:
        wide["quiet left, loud right"] = wide["noise"] * np.array([[1e-3], [1.0]])
    return {name: sound.astype(np.float32) for name, sound in wide.items()}


@pytest.mark.parametrize("spec", SPECS, ids=["tutorial", "urban"])
def test_both_front_ends_agree_to_a_thousandth_of_a_decibel(spec: FeatureSpec) -> None:
    probes = _probes(spec)
    together = MelFrontEnd(spec).features(torch.from_numpy(np.stack(list(probes.values()))))
    for (name, samples), of_torch in zip(probes.items(), together, strict=True):
        difference_db = np.abs(of_torch.numpy() - mel_db(samples, spec)).max()
        assert difference_db < 1e-3, name


def test_a_mono_clip_is_as_good_as_two_equal_channels() -> None:
    front_end = MelFrontEnd(SPECS[0])
    mono = torch.randn(2, 1, SPECS[0].window_samples)
    torch.testing.assert_close(front_end(mono), front_end(mono.expand(-1, 2, -1)))


def test_the_peak_is_each_examples_own() -> None:
    """A loud neighbor must not cut off a quiet example's floor."""
    front_end = MelFrontEnd(SPECS[1])
    quiet = torch.randn(1, 1, SPECS[1].window_samples) * 1e-4
    torch.testing.assert_close(front_end(torch.cat([quiet, quiet * 1e4]))[:1], front_end(quiet))


@pytest.mark.data
@pytest.mark.parametrize("spec", SPECS, ids=["tutorial", "urban"])
def test_both_front_ends_agree_on_real_clips(shared_data: Path, spec: FeatureSpec) -> None:
    front_end = MelFrontEnd(spec)
    for path in sorted((shared_data / "urbansound8k" / "audio" / "fold1").iterdir())[::100]:
        window = place_first(decode(path, spec), spec.window_samples)
        of_torch = front_end.features(torch.from_numpy(window)[None])[0].numpy()
        assert np.abs(of_torch - mel_db(np.repeat(window, spec.channels, 0), spec)).max() < 1e-3
