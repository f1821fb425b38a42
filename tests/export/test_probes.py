from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.export.probes import probes
from support.checkpoint_factory import SMALL_RECIPE
from support.fakes import SMALL_SPEC

STEREO = SMALL_RECIPE.features
NAMES = ["silence", "noise", "tone", "chirp", "impulse", "clip", "quiet left, loud right"]


@pytest.mark.parametrize("spec", [SMALL_SPEC, STEREO])
def test_every_probe_is_one_window_within_full_scale(spec: FeatureSpec) -> None:
    sounds = probes(spec)
    assert list(sounds) == NAMES
    for samples in sounds.values():
        assert samples.shape == (spec.channels, spec.window_samples)
        assert samples.dtype == np.float32
        assert np.abs(samples).max() <= 1


def test_probes_are_the_same_every_time() -> None:
    for first, second in zip(probes(STEREO).values(), probes(STEREO).values(), strict=True):
        np.testing.assert_array_equal(first, second)


def test_only_silence_is_silent() -> None:
    assert [name for name, samples in probes(STEREO).items() if not samples.any()] == ["silence"]


def test_mono_is_the_mean_of_a_quiet_left_and_a_loud_right_channel() -> None:
    left, right = probes(STEREO)["quiet left, loud right"]
    assert np.abs(left).max() < 0.01 * np.abs(right).max()
    np.testing.assert_allclose(probes(SMALL_SPEC)["quiet left, loud right"][0], (left + right) / 2, atol=1e-7)


@pytest.mark.parametrize("seconds", [0.1, 2.0])
def test_a_recording_of_any_length_and_rate_may_be_the_clip(tmp_path: Path, seconds: float) -> None:
    noise = 0.1 * np.random.default_rng(1).standard_normal((round(16000 * seconds), 6))
    soundfile.write(tmp_path / "clip.wav", noise, 16000)
    clip = probes(STEREO, tmp_path / "clip.wav")["clip"]
    assert clip.shape == (2, STEREO.window_samples)
    assert clip[:, :400].any()
    assert clip[:, -1600:].any() == (seconds > STEREO.window_ms / 1000)


def test_a_clip_that_is_no_recording_is_refused(tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_text("no sound")
    with pytest.raises(SourceError, match=r"clip\.wav"):
        probes(STEREO, tmp_path / "clip.wav")
