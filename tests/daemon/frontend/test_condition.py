"""Gain and high-pass: the response, and equal samples for every way of cutting."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.frontend.condition import (
    CHUNK_SAMPLES,
    UNCHANGED,
    Conditioning,
    ConditionState,
    condition,
    high_pass_coefficients,
)

RATE_HZ = 22_050
NOISE = np.random.default_rng(3).uniform(-0.5, 0.5, (2, 3000)).astype(np.float32)


def run(samples: NDArray[np.float32], conditioning: Conditioning, cuts: list[int]) -> NDArray[np.float32]:
    state, pieces = ConditionState(), []
    edges = [0, *sorted(cuts), samples.shape[1]]
    for first, end in itertools.pairwise(edges):
        state, block = condition(state, Block(samples[:, first:end], RATE_HZ, first), conditioning)
        pieces.append(block.samples)
    return np.concatenate(pieces, axis=1)


def sine(frequency_hz: float, seconds: float = 1.0) -> NDArray[np.float32]:
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    return np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)[None]


def gain_db(frequency_hz: float, conditioning: Conditioning) -> float:
    tail = run(sine(frequency_hz), conditioning, [])[:, RATE_HZ // 2 :]
    return float(10 * np.log10(np.mean(tail**2) * 2))


@settings(max_examples=50)
@given(st.lists(st.integers(0, NOISE.shape[1]), max_size=8))
def test_every_way_of_cutting_gives_equal_samples(cuts: list[int]) -> None:
    conditioning = Conditioning(gain_db=6.0, high_pass_hz=150.0)
    assert np.array_equal(run(NOISE, conditioning, cuts), run(NOISE, conditioning, []))


def test_the_blocks_of_a_source_without_conditioning_are_passed_on() -> None:
    block = Block(NOISE, RATE_HZ, 0)
    assert condition(ConditionState(), block, UNCHANGED)[1] is block


def test_the_corner_is_at_minus_3_db_and_the_slope_is_12_db_an_octave() -> None:
    high_pass = Conditioning(high_pass_hz=200.0)
    assert gain_db(200, high_pass) == pytest.approx(-3.01, abs=0.05)
    assert gain_db(2000, high_pass) == pytest.approx(0, abs=0.01)
    assert gain_db(50, high_pass) - gain_db(100, high_pass) == pytest.approx(-12, abs=0.3)


def test_a_gain_is_exact_and_clips_nothing() -> None:
    loud = run(NOISE, Conditioning(gain_db=20.0), [7])
    assert np.allclose(loud, NOISE * 10, rtol=1e-6)
    assert loud.max() > 1


def test_the_filter_is_the_recursion_of_its_coefficients() -> None:
    b, a = high_pass_coefficients(120.0, RATE_HZ)
    signal = np.concatenate([np.zeros(1), NOISE[0].astype(np.float64)])
    expected, first, second = [], 0.0, 0.0
    for x in signal:
        y = b[0] * x + first
        first, second = b[1] * x - a[1] * y + second, b[2] * x - a[2] * y
        expected.append(y)
    found = run(signal.astype(np.float32)[None], Conditioning(high_pass_hz=120.0), [])
    assert np.allclose(found[0], expected, atol=1e-6)


def test_a_constant_offset_makes_no_click() -> None:
    offset = np.full((1, 4 * CHUNK_SAMPLES), 0.25, np.float32)
    assert np.abs(run(offset, Conditioning(high_pass_hz=100.0), [5])).max() < 1e-6


def test_the_filter_begins_again_after_a_loss_and_at_another_corner() -> None:
    offset = np.full((1, 1000), 0.25, np.float32)
    state, _ = condition(ConditionState(), Block(NOISE[:1], RATE_HZ, 0), Conditioning(high_pass_hz=100.0))
    _, after_loss = condition(state, Block(offset, RATE_HZ, 9000, 6000), Conditioning(high_pass_hz=100.0))
    assert np.abs(after_loss.samples).max() < 1e-6
    assert (after_loss.first_sample, after_loss.lost_samples) == (9000, 6000)
    _, other = condition(state, Block(offset, RATE_HZ, 3000), Conditioning(high_pass_hz=50.0))
    assert np.abs(other.samples).max() < 1e-6
