"""The block filter against scipy's filter, which runs sample by sample."""

from __future__ import annotations

import numpy as np
import pytest
import scipy  # imports scipy.signal at its first use: the collection of tests is faster

from soundwatch.daemon.level.block_filter import block_filter
from soundwatch.daemon.level.weighting import weighting_sections

TAPS = (2, 3)


def reference(samples: np.ndarray, rate_hz: int) -> np.ndarray:
    """Both outputs (2, C, S) of scipy in double precision."""
    sections = np.insert(weighting_sections(rate_hz), 3, 1.0, axis=1)
    return np.stack([scipy.signal.sosfilt(sections[:tap], samples.astype(np.float64)) for tap in TAPS])


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 16_000, 22_050, 44_056, 44_100, 48_000, 96_000])
def test_three_seconds_agree_with_scipy(rate_hz: int) -> None:
    filters = block_filter(weighting_sections(rate_hz), TAPS, rate_hz)
    samples = np.random.default_rng(0).normal(0, 0.1, (2, 3 * rate_hz)).astype(np.float32)
    state, parts = np.zeros((2, 6), np.float32), []
    for second in np.split(samples, 3, axis=1):
        state, outputs = filters.filter(state, second)
        parts.append(outputs.reshape(2, -1, len(TAPS), filters.block_samples).transpose(2, 0, 1, 3).reshape(2, 2, -1))
    error = np.concatenate(parts, axis=2) - reference(samples, rate_hz)
    assert 10 * np.log10((error**2).mean()) < -140


def test_strong_infrasound_does_not_raise_the_noise_of_the_filter() -> None:
    rate_hz = 48_000
    filters = block_filter(weighting_sections(rate_hz), TAPS, rate_hz)
    time_s = np.arange(rate_hz) / rate_hz
    samples = (0.3 + 0.5 * np.sin(2 * np.pi * 3 * time_s)).astype(np.float32)[None]
    _, outputs = filters.filter(np.zeros((1, 6), np.float32), samples)
    error = outputs.reshape(1, -1, 2, filters.block_samples).transpose(2, 0, 1, 3).reshape(2, 1, -1)
    error = error - reference(samples, rate_hz)
    assert 10 * np.log10((error**2).mean()) < -130


def test_a_constant_that_has_always_been_there_gives_nothing() -> None:
    filters = block_filter(weighting_sections(48_000), TAPS, 48_000)
    state, outputs = filters.filter(filters.settled[None], np.ones((1, 48_000), np.float32))
    assert np.abs(outputs).max() < 1e-6
    assert state == pytest.approx(filters.settled[None], abs=1e-4)
