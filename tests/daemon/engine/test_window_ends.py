"""The time at which a source's next block is needed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.engine.threads import next_window_end
from soundwatch.daemon.frontend.resample import ResampleState, resample
from support.fakes import SMALL_SPEC


def block_until(end_sample: int, rate_hz: int) -> Block:
    return Block(np.zeros((1, 0), np.float32), rate_hz, end_sample)


@given(end_sample=st.integers(0, 10_000_000), rate_hz=st.sampled_from([8000, 16_000, 44_100, 48_000]))
def test_the_next_window_ends_after_the_block_and_within_a_hop(end_sample: int, rate_hz: int) -> None:
    needed = next_window_end(block_until(end_sample, rate_hz), SMALL_SPEC)
    hop_samples = -(-SMALL_SPEC.window_hop_samples * rate_hz // SMALL_SPEC.rate_hz)
    assert end_sample < needed <= end_sample + hop_samples + 1
    assert needed < next_window_end(block_until(needed, rate_hz), SMALL_SPEC)


@pytest.mark.parametrize("rate_hz", [8000, 11_025, 44_100, 48_000, 96_000])
def test_a_window_is_full_at_the_sample_that_was_asked_for(rate_hz: int) -> None:
    needed = next_window_end(block_until(rate_hz // 12, rate_hz), SMALL_SPEC)
    state, pieces = resample(ResampleState(), Block(np.zeros((1, needed), np.float32), rate_hz, 0), SMALL_SPEC)
    assert pieces
    assert state.end_sample >= SMALL_SPEC.window_hop_samples
