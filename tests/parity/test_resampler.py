"""`resampler: torchaudio` gives torchaudio's samples, however the sound is cut, without torch in the daemon."""

from __future__ import annotations

import subprocess
import sys
from itertools import pairwise

import msgspec
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.frontend.mel import mel_db
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.daemon.frontend.windowed_sinc import WindowedSincStream
from soundwatch.training.model.recipe_file import load_recipe, parse_recipe
from soundwatch.training.model.torchaudio_transforms import Resample

RATES_HZ = [8_000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000, 96_000]
TUTORIAL = msgspec.structs.replace(load_recipe("tutorial").features, resampler="torchaudio")


def noise(samples: int, channels: int = 1) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.random.default_rng(samples).uniform(-0.9, 0.9, (samples, channels)).astype(np.float32)


@pytest.mark.parametrize("from_hz", RATES_HZ)
@pytest.mark.parametrize("to_hz", [16_000, 44_100])
def test_the_samples_are_torchaudios(from_hz: int, to_hz: int) -> None:
    if from_hz == to_hz:
        return
    for samples in (1, 5, 100, 9_001):
        signal = noise(samples, 2)
        wanted = Resample(from_hz, to_hz)(torch.from_numpy(signal.T.copy())).numpy().T
        found = WindowedSincStream(from_hz, to_hz, 2).resample_chunk(signal, last=True)
        assert found.shape == wanted.shape
        np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


@settings(deadline=None, max_examples=40)
@given(
    st.sampled_from(RATES_HZ),
    st.sampled_from(RATES_HZ),
    st.integers(1, 2),
    st.integers(1, 6_000),
    st.lists(st.integers(0, 6_000), max_size=8),
)
def test_any_way_of_cutting_gives_the_samples_of_the_whole_bit_for_bit(
    from_hz: int, to_hz: int, channels: int, samples: int, cuts: list[int]
) -> None:
    signal = noise(samples, channels)
    whole = WindowedSincStream(from_hz, to_hz, channels).resample_chunk(signal, last=True)
    stream = WindowedSincStream(from_hz, to_hz, channels)
    edges = [0, *sorted(cut % (samples + 1) for cut in cuts), samples]
    parts = [stream.resample_chunk(signal[first:end]) for first, end in pairwise(edges)]
    parts.append(stream.resample_chunk(signal[:0], last=True))
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@pytest.mark.parametrize("rate_hz", [22_050, 48_000])
def test_the_features_of_a_clip_are_those_of_torchaudios_path(rate_hz: int) -> None:
    signal = noise(4 * rate_hz).T
    by_torchaudio = Resample(rate_hz, TUTORIAL.rate_hz)(torch.from_numpy(signal.copy())).numpy()
    window = TUTORIAL.window_samples
    stereo = np.repeat(by_torchaudio, 2, axis=0)[:, :window]
    found = mel_db(resample_clip(signal, rate_hz, TUTORIAL)[:, :window], TUTORIAL)
    np.testing.assert_allclose(found, mel_db(stereo, TUTORIAL), rtol=0, atol=1e-2)


def test_a_contract_names_another_resampler_only() -> None:
    assert b"resampler" not in msgspec.json.encode(load_recipe("tutorial").features)
    assert msgspec.json.decode(msgspec.json.encode(TUTORIAL), type=FeatureSpec) == TUTORIAL
    mine = parse_recipe("{like: tutorial, name: mine, features: {resampler: torchaudio}}", "here")
    assert mine.features == TUTORIAL


def test_the_resampler_imports_no_torch() -> None:
    program = "import sys, soundwatch.daemon.frontend.resample; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", program], check=True)
