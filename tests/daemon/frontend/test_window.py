"""Blocks to windows, for every way of cutting and losing sound."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.window import Window
from soundwatch.daemon.frontend.window import WindowState, window
from support.fakes import SMALL_SPEC

W, HOP = SMALL_SPEC.window_samples, SMALL_SPEC.window_hop_samples


def ramp(first: int, samples: int) -> np.ndarray:
    """Samples that carry their own number."""
    return np.arange(first, first + samples, dtype=np.float32)[None]


def windows_of(blocks: Sequence[Block | None]) -> list[Window]:
    state, windows = WindowState(), []
    for block in blocks:
        state, full = window(state, block, SMALL_SPEC)
        windows.extend(full)
    return windows


def blocks_of(total: int, cuts: list[int]) -> list[Block]:
    edges = sorted({0, total, *(cut % (total + 1) for cut in cuts)})
    return [Block(ramp(a, b - a), SMALL_SPEC.rate_hz, a) for a, b in pairwise(edges)]


@pytest.mark.slow
@given(st.integers(1, 5 * W), st.lists(st.integers(0, 10**6), max_size=12))
def test_any_way_of_cutting_gives_the_same_windows(total: int, cuts: list[int]) -> None:
    whole = windows_of([*blocks_of(total, []), None])
    cut = windows_of([*blocks_of(total, cuts), None])
    assert [w.first_sample for w in cut] == [w.first_sample for w in whole]
    for one, other in zip(whole, cut, strict=True):
        assert np.array_equal(one.samples, other.samples)
        assert one.valid_samples == other.valid_samples
        assert other.complete


@given(st.integers(1, 5 * W))
def test_every_window_has_its_samples_and_zeros_after_the_end(total: int) -> None:
    windows = windows_of([*blocks_of(total, []), None])
    assert windows, "even one sample gives a window"
    for received in windows:
        assert received.first_sample % HOP == 0
        assert received.samples.shape == (1, W)
        expected = np.zeros(W, np.float32)
        expected[: received.valid_samples] = ramp(received.first_sample, received.valid_samples)
        assert np.array_equal(received.samples[0], expected)
        assert received.first_sample + received.valid_samples <= total


def test_windows_are_emitted_as_soon_as_they_are_complete() -> None:
    state, windows = window(WindowState(), Block(ramp(0, W - 1), 8000, 0), SMALL_SPEC)
    assert windows == []
    state, windows = window(state, Block(ramp(W - 1, 1), 8000, W - 1), SMALL_SPEC)
    assert [w.first_sample for w in windows] == [0]


def test_windows_are_read_only() -> None:
    assert not windows_of(blocks_of(W, []))[0].samples.flags.writeable


@given(lost=st.integers(1, 40 * W), before=st.integers(0, 3 * W), after=st.integers(1, 3 * W))
def test_a_loss_keeps_the_grid_and_marks_exactly_the_windows_that_hold_it(lost: int, before: int, after: int) -> None:
    first = [Block(ramp(0, before), 8000, 0)] if before else []
    resumed = before + lost
    windows = windows_of([*first, Block(ramp(resumed, after), 8000, resumed, lost)])
    starts = [w.first_sample for w in windows]
    assert starts == sorted(set(starts))
    assert all(start % HOP == 0 for start in starts)
    for received in windows:
        holds_loss = received.first_sample < resumed and received.first_sample + W > before
        assert received.complete is not holds_loss
        numbers = np.arange(received.first_sample, received.first_sample + W, dtype=np.float32)
        numbers[(numbers >= before) & (numbers < resumed)] = 0
        assert np.array_equal(received.samples[0], numbers)
    complete_again = [start for start in range(0, resumed + after - W + 1, HOP) if start >= resumed]
    assert [w.first_sample for w in windows if w.complete and w.first_sample >= resumed] == complete_again


def test_an_hour_lost_costs_no_more_than_a_few_windows() -> None:
    hour = 3600 * 8000
    windows = windows_of([Block(ramp(0, W), 8000, 0), Block(ramp(W + hour, W), 8000, W + hour, hour)])
    assert len(windows) < 12
