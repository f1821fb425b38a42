"""Gain and high-pass of one source, block by block: the stage after the resampler, where a source asks for it.

Conventions: blocks of (C, S) float32 at the model's rate in and out; nothing is delayed and no sample is clipped. The
high-pass is a Butterworth filter of second order. Sound is filtered in chunks of `CHUNK_SAMPLES` that are counted from
the stream's start or its last loss, by products of one shape, so every way of cutting gives equal samples. The filter
begins as if the first sample had always been there, so that a microphone's offset makes no click.
Source: R. Bristow-Johnson, Audio EQ Cookbook, for the coefficients.
Does not: change a source that asks for neither; its blocks are passed on as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block, Samples, read_only

CHUNK_SAMPLES: Final = 128

Matrix = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Conditioning:
    """Gain and high-pass of a source.

    Attributes:
        gain_db: Gain.
        high_pass_hz: Corner frequency, where the gain is -3 dB; None for no high-pass.
    """

    gain_db: float = 0.0
    high_pass_hz: float | None = None


UNCHANGED: Final = Conditioning()


@dataclass(frozen=True, slots=True)
class ConditionState:
    """State of a stream between two blocks.

    Attributes:
        high_pass_hz: Corner frequency of the filter that the state belongs to.
        chunk: Samples of the chunk that is not complete (C, S).
        filter_state: State of the filter before this chunk (C, 2); None before the first sample.
    """

    high_pass_hz: float | None = None
    chunk: Matrix = field(default_factory=lambda: np.zeros((0, 0)))
    filter_state: Matrix | None = None


def condition(state: ConditionState, block: Block, conditioning: Conditioning) -> tuple[ConditionState, Block]:
    """Filter and amplify one block: the condition stage."""
    if conditioning == UNCHANGED:
        return ConditionState(), block
    samples = block.samples
    if conditioning.high_pass_hz is None:
        state = ConditionState()
    else:
        if block.lost_samples or state.high_pass_hz != conditioning.high_pass_hz:
            state = ConditionState(conditioning.high_pass_hz)
        state, samples = _high_pass(state, samples, block.rate_hz, conditioning.high_pass_hz)
    amplified = np.ascontiguousarray(samples * np.float32(10 ** (conditioning.gain_db / 20)), np.float32)
    return state, replace(block, samples=read_only(amplified))


def _high_pass(
    state: ConditionState, samples: Samples, rate_hz: int, corner_hz: float
) -> tuple[ConditionState, Samples]:
    """Filter samples (C, S)."""
    channels, count = samples.shape
    if not count:
        return state, samples
    filter_ = _block_filter(corner_hz, rate_hz)
    before = state.filter_state
    if before is None:
        before = samples[:, :1].astype(np.float64) * filter_.settled
        state = replace(state, chunk=np.zeros((channels, 0)))
    kept = state.chunk.shape[1]
    chunks = -(-(kept + count) // CHUNK_SAMPLES)
    sound = np.zeros((channels, chunks * CHUNK_SAMPLES))
    sound[:, :kept] = state.chunk
    sound[:, kept : kept + count] = samples
    runs = sound.reshape(channels, chunks, CHUNK_SAMPLES).transpose(1, 0, 2)  # (chunks, C, CHUNK_SAMPLES)
    states = [before]
    for injected in runs @ filter_.inject:  # (C, 2)
        states.append(states[-1] @ filter_.step + injected)
    filtered = runs @ filter_.through + np.stack(states[:-1]) @ filter_.observe
    flat = filtered.transpose(1, 0, 2).reshape(channels, -1)
    whole = (kept + count) // CHUNK_SAMPLES
    rest = sound[:, whole * CHUNK_SAMPLES : kept + count]
    return replace(state, chunk=rest, filter_state=states[whole]), flat[:, kept : kept + count].astype(np.float32)


@dataclass(frozen=True, slots=True)
class _BlockFilter:
    """A filter of second order as matrices for one chunk.

    Attributes:
        through: From the samples of a chunk to its output (N, N).
        observe: From the state before a chunk to its output (2, N).
        inject: From the samples of a chunk to the state after it (N, 2).
        step: From the state before a chunk to the state after it (2, 2).
        settled: State after a constant input of 1 (2,).
    """

    through: Matrix
    observe: Matrix
    inject: Matrix
    step: Matrix
    settled: Matrix


@lru_cache(maxsize=16)
def _block_filter(corner_hz: float, rate_hz: int) -> _BlockFilter:
    b, a = high_pass_coefficients(corner_hz, rate_hz)
    through, inject = _run(np.zeros((CHUNK_SAMPLES, 2)), np.eye(CHUNK_SAMPLES), b, a)
    observe, step = _run(np.eye(2), np.zeros((2, CHUNK_SAMPLES)), b, a)
    settled: Matrix = np.linalg.solve((np.eye(2) - step).T, np.ones(CHUNK_SAMPLES) @ inject).astype(np.float64)
    return _BlockFilter(through, observe, inject, step, settled)


def high_pass_coefficients(corner_hz: float, rate_hz: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Return numerator and denominator of the high-pass, each of three coefficients, a[0] being 1."""
    omega = 2 * math.pi * corner_hz / rate_hz
    alpha, cosine = math.sin(omega) / math.sqrt(2), math.cos(omega)
    scale = 1 + alpha
    b = ((1 + cosine) / 2 / scale, -(1 + cosine) / scale, (1 + cosine) / 2 / scale)
    return b, (1.0, -2 * cosine / scale, (1 - alpha) / scale)


def _run(states: Matrix, samples: Matrix, b: tuple[float, ...], a: tuple[float, ...]) -> tuple[Matrix, Matrix]:
    """Run rows of samples (R, N) from states (R, 2), transposed direct form II; return output and states."""
    first, second = states[:, 0].copy(), states[:, 1].copy()
    output = np.empty_like(samples)
    for place in range(samples.shape[1]):
        x = samples[:, place]
        y = b[0] * x + first
        first, second = b[1] * x - a[1] * y + second, b[2] * x - a[2] * y
        output[:, place] = y
    return output, np.stack([first, second], axis=1)
