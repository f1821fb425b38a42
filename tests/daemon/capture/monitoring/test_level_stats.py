"""Statistics of consecutive samples, compared with plain sums and loops."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.capture.monitoring.audio_quality import EXACT_SAMPLES, LevelStats


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 3), st.lists(st.tuples(st.booleans(), st.integers(1, 20)), min_size=1, max_size=12))
def test_runs_of_zeros_are_counted_at_both_ends_and_in_between(channels: int, runs: list[tuple[bool, int]]) -> None:
    zero = np.concatenate([np.full(length, is_zero) for is_zero, length in runs])
    samples = np.where(zero, 0, np.full((channels, len(zero)), 0.5)).astype(np.float32)
    samples[: channels - 1, ~zero] = 0  # a sample is zero only if all channels are
    lengths = [(value, len(list(group))) for value, group in groupby(zero.tolist())]
    stats = LevelStats.of(samples)
    assert stats.first_zeros == (lengths[0][1] if lengths[0][0] else 0)
    assert stats.last_zeros == (lengths[-1][1] if lengths[-1][0] else 0)
    assert stats.longest_zeros == max((length for value, length in lengths if value), default=0)


@pytest.mark.parametrize("channels", [1, 2, 6])
def test_sums_and_squares_are_exact_to_float64(channels: int) -> None:
    rng = np.random.default_rng(channels)
    samples = rng.normal(0.01, 0.1, (channels, 2 * EXACT_SAMPLES + 7)).astype(np.float32)
    stats, exact = LevelStats.of(samples), samples.astype(np.float64)
    assert stats.sums == pytest.approx(exact.sum(axis=1), rel=1e-12)
    assert stats.squares == pytest.approx((exact**2).sum(axis=1), rel=1e-12)
    assert stats.mean_squares == pytest.approx((exact.mean(axis=0) ** 2).sum(), rel=1e-12)
