"""The daemon's front end against torchaudio's transforms: 1e-3 dB everywhere, on every sound.

torchaudio computes in float64 here. In float32, as in training, torch's own FFT rounds to 1e-7 of a
frame's loudest bin, which is 1e-3 dB of what lies 70 dB below; the second test holds that too.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.frontend.mel import hann_window, mel_db, mel_filterbank
from soundwatch.export.parity import MEL_LIMIT_DB, torch_mel
from soundwatch.export.probes import probes
from soundwatch.training.model.frontend import MelFrontEnd
from soundwatch.training.model.recipe_file import load_recipe
from support.fakes import SMALL_SPEC
from support.signal_factory import BROADBAND, SIGNALS, TONAL, make, real_clips

FLOAT32_TONAL_LIMIT_DB = 5e-3  # measured: 1.5e-3

TUTORIAL = load_recipe("tutorial").features
URBAN = load_recipe("urban").features
SLANEY = msgspec.structs.replace(SMALL_SPEC, mel_scale="slaney", mel_norm="slaney", mel_min_hz=50.0)
ODD_RATE = msgspec.structs.replace(SMALL_SPEC, rate_hz=11025, mel_max_hz=5512.5)
UNCUT = msgspec.structs.replace(SMALL_SPEC, top_db=None)
both = pytest.mark.parametrize("spec", [TUTORIAL, URBAN], ids=["tutorial", "urban"])
every = pytest.mark.parametrize(
    "spec",
    [TUTORIAL, URBAN, SLANEY, ODD_RATE, UNCUT],
    ids=["tutorial", "urban", "slaney", "odd rate", "no top_db"],
)


def difference_db(samples: Samples, spec: FeatureSpec, dtype: torch.dtype = torch.float64) -> float:
    ours = mel_db(samples, spec)
    theirs = torch_mel(spec, dtype)(samples)
    assert np.isfinite(ours).all()
    assert ours.shape == theirs.shape == spec.input_shape
    return float(np.abs(ours - theirs).max())


@both
@pytest.mark.parametrize("name", SIGNALS)
def test_the_daemons_features_equal_torchaudios(name: str, spec: FeatureSpec) -> None:
    assert difference_db(make(name, spec), spec) <= MEL_LIMIT_DB


@both
@pytest.mark.parametrize("name", SIGNALS)
def test_the_daemons_features_equal_those_of_training(name: str, spec: FeatureSpec) -> None:
    limit_db = MEL_LIMIT_DB if name in BROADBAND else FLOAT32_TONAL_LIMIT_DB
    assert difference_db(make(name, spec), spec, torch.float32) <= limit_db


@every
def test_scales_norms_and_rates_that_no_recipe_uses_agree_too(spec: FeatureSpec) -> None:
    for name in ("white noise", "digital silence", "very quiet noise"):
        assert difference_db(make(name, spec), spec) <= MEL_LIMIT_DB


@given(
    seed=st.integers(0, 2**32 - 1),
    slope=st.floats(-2, 0.5),
    left_db=st.floats(-100, 0),
    right_db=st.floats(-100, 0),
    burst=st.booleans(),
)
@settings(max_examples=25, deadline=None)
def test_random_noise_of_any_color_level_and_balance_agrees(
    seed: int, slope: float, left_db: float, right_db: float, burst: bool
) -> None:
    spec = msgspec.structs.replace(SMALL_SPEC, channels=2)
    spectrum = np.fft.rfft(np.random.default_rng(seed).standard_normal((2, spec.window_samples)))
    spectrum[:, 1:] *= np.arange(1, spectrum.shape[1]) ** slope
    spectrum[:, 0] = 0
    noise = np.fft.irfft(spectrum, spec.window_samples)
    noise *= 10 ** (np.array([[left_db], [right_db]]) / 20) / np.abs(noise).max()
    if burst:
        noise[:, spec.window_samples // 2 :] = 0
    assert difference_db(noise.astype(np.float32), spec) <= MEL_LIMIT_DB


@every
def test_the_filters_are_torchaudios_to_a_rounding(spec: FeatureSpec) -> None:
    theirs = MelFrontEnd(spec).mel.mel_scale.fb.numpy()
    np.testing.assert_allclose(mel_filterbank(spec), theirs, atol=5e-6 * theirs.max())


@pytest.mark.parametrize("n_fft", [256, 400, 1024, 2048])
def test_the_window_is_torchs_to_a_rounding(n_fft: int) -> None:
    np.testing.assert_allclose(hann_window(n_fft), torch.hann_window(n_fft).numpy(), atol=6e-8)


@pytest.mark.data
@both
def test_real_clips_have_equal_scores(shared_data: Path, spec: FeatureSpec) -> None:
    for path in real_clips(shared_data):
        clip = probes(spec, path)["clip"]
        assert difference_db(clip, spec) <= MEL_LIMIT_DB, path.name


def test_no_signal_is_in_both_lists() -> None:
    assert not BROADBAND.keys() & TONAL.keys()
