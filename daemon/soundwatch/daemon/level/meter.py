"""Sound level meter: blocks in, levels of each second out.

Conventions: blocks (C, S) at the source's rate. Seconds are counted from sample 0 of the stream; they are measured when
they are complete, so any way of cutting a signal into blocks gives equal seconds. Values are mean squares, full scale
1, and become decibels at the border (`decibels`): a sine of full amplitude has -3.0 dB, as everywhere in soundwatch.
Channels count by the mean of their powers: the power of their mean would lose sound that reaches them with a delay.
Rule for time weightings (IEC 61672-1, 5.8): the squared signal, averaged over blocks of a millisecond, passes a first
order low pass of 125 ms (F) or 1 s (S). Maxima are those of all blocks.
Rule for lost sound: its samples count nowhere, and the low passes stand still meanwhile. The filters run on with the
mean of the second's other samples in their place. A second without any sound gives no result.
Does not: know the time of day (`periods.py`) or calibrations (`tap.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.level.bands import BandState, band_powers
from soundwatch.daemon.level.block_filter import BlockFilter, Matrix32, block_filter
from soundwatch.daemon.level.weighting import C_SECTIONS, weighting_sections

FAST_S: Final = 0.125
SLOW_S: Final = 1.0
FAST_SAMPLES_A_SECOND: Final = 8  # of the level LAF, for percentiles


@dataclass(frozen=True, slots=True)
class SecondLevel:
    """Mean squares of one second, full scale 1.

    Attributes:
        end_sample: Number of the sample after the second, at the source's rate.
        rate_hz: Rate of the source.
        valid_samples: Number of samples that were measured.
        a: Weighting A.
        c: Weighting C.
        z: Without weighting, and without the mean of the signal.
        fast_max: Maximum of A with the time weighting F.
        slow_max: Maximum of A with the time weighting S.
        fast: A with the time weighting F each 125 ms; less than eight values where sound was lost.
        bands: 1/3-octave bands, lowest first; empty where they are not measured.
    """

    end_sample: int
    rate_hz: int
    valid_samples: int
    a: float
    c: float
    z: float
    fast_max: float
    slow_max: float
    fast: tuple[float, ...]
    bands: tuple[float, ...] = ()

    @property
    def coverage(self) -> float:
        """Share of the second that was measured."""
        return self.valid_samples / self.rate_hz


@dataclass(frozen=True, slots=True)
class MeterState:
    """State of one source's meter.

    Attributes:
        rate_hz: Rate of the source; 0 before the first block.
        pieces: First sample and samples of each block of the current second.
        end_sample: Number of the next sample to arrive.
        filters: (C, P), state of the weighting filters; None where they start with the next second.
        fast: Time-weighted mean square F.
        slow: Time-weighted mean square S.
        bands: State of the 1/3-octave bands; None where they start with the next second.
    """

    rate_hz: int = 0
    pieces: tuple[tuple[int, Samples], ...] = ()
    end_sample: int = 0
    filters: Matrix32 | None = field(default=None)
    fast: float = 0.0
    slow: float = 0.0
    bands: BandState | None = None


def measure(state: MeterState, block: Block | None, *, bands: bool = False) -> tuple[MeterState, list[SecondLevel]]:
    """Add the next block, or None for the end of the sound, which measures the second that is not complete.

    With `bands`, also measure 1/3-octave bands.

    Returns:
        The next state, and the seconds that are now complete, oldest first.
    """
    if block is None:
        return _end_second(state, bands=bands) if state.pieces else (state, [])
    results: list[SecondLevel] = []
    channels, samples = block.samples.shape
    known = state.pieces[0][1].shape[0] if state.pieces else channels
    if state.rate_hz != block.rate_hz or known != channels or block.first_sample < state.end_sample:
        if state.pieces:
            _, results = _end_second(state, bands=bands)
        state = MeterState(block.rate_hz)
    place, rate_hz = block.first_sample, block.rate_hz
    while samples:
        second = place // rate_hz
        if state.pieces and state.pieces[0][0] // rate_hz != second:  # the rest of that second was lost
            state, found = _end_second(state, bands=bands)
            results += found
        elif not state.pieces and second != -(-state.end_sample // rate_hz):  # whole seconds were lost
            state = replace(state, filters=None, bands=None)
        taken = min(samples, (second + 1) * rate_hz - place)
        start = place - block.first_sample
        piece = (place, block.samples[:, start : start + taken])
        state = replace(state, pieces=(*state.pieces, piece), end_sample=place + taken)
        place, samples = place + taken, samples - taken
        if place % rate_hz == 0:
            state, found = _end_second(state, bands=bands)
            results += found
    return state, results


def decibels(mean_square: float, offset_db: float = 0.0) -> float | None:
    """Return a level in decibels; None for digital silence."""
    return 10 * math.log10(mean_square) + offset_db if mean_square > 0 else None


def _end_second(state: MeterState, *, bands: bool) -> tuple[MeterState, list[SecondLevel]]:
    """Measure the pieces of one second."""
    rate_hz = state.rate_hz
    filters = _filters(rate_hz)
    begin_sample = state.pieces[0][0] // rate_hz * rate_hz
    samples, valid = _joined(state.pieces, begin_sample, rate_hz)
    counts = _counts(valid, rate_hz, filters.block_samples)
    channels, total = len(samples), int(counts.sum())
    z, means = _power_and_means(samples, filters.block_samples, total)
    band_state, powers = _bands(state, samples, means, valid) if bands else (None, ())
    if valid is not None:
        samples = np.where(valid, samples, means[:, None])
    before = means[:, None] * filters.settled if state.filters is None else state.filters
    after, outputs = filters.filter(before, samples)
    outputs = outputs.reshape(channels, len(counts), 2, -1)  # (C, n, weighting, B)
    if valid is not None:
        outputs = outputs * valid.reshape(1, -1, 1, filters.block_samples)
    energies = np.einsum("cnwb,cnwb->cnw", outputs, outputs).sum(axis=0, dtype=np.float64) / channels  # (n, weighting)
    present = counts > 0
    mean_squares = energies[:, 1] / counts if valid is None else energies[present, 1] / counts[present]
    fast, slow = _exponential(mean_squares, (state.fast, state.slow), rate_hz, filters.block_samples)
    c, a = (energies.sum(axis=0) / total).tolist()
    result = SecondLevel(
        end_sample=begin_sample + rate_hz,
        rate_hz=rate_hz,
        valid_samples=total,
        a=a,
        c=c,
        z=z,
        fast_max=float(fast.max()),
        slow_max=float(slow.max()),
        fast=_spaced(fast, present),
        bands=powers,
    )
    return MeterState(rate_hz, (), state.end_sample, after, float(fast[-1]), float(slow[-1]), band_state), [result]


def _bands(
    state: MeterState, samples: Samples, means: Samples, valid: NDArray[np.bool_] | None
) -> tuple[BandState, tuple[float, ...]]:
    """Measure the bands of a second: samples (C, S) without their means (C,), zero where they were lost."""
    centered = samples - means[:, None]
    return band_powers(state.bands, centered if valid is None else centered * valid, valid)


def _power_and_means(samples: Samples, block_samples: int, total: int) -> tuple[float, Samples]:
    """Return the variance over all channels, and the mean of each channel (C,), of so many samples among zeros.

    Sums of single precision are no longer than a filter block.
    """
    blocks = samples.reshape(len(samples), -1, block_samples)
    means = (blocks @ np.ones(block_samples, np.float32)).sum(axis=1, dtype=np.float64) / total
    power = np.einsum("cnb,cnb->cn", blocks, blocks).sum(dtype=np.float64) / total
    return max(0.0, float(power - means @ means)) / len(samples), means.astype(np.float32)


def _joined(
    pieces: tuple[tuple[int, Samples], ...], begin_sample: int, rate_hz: int
) -> tuple[Samples, NDArray[np.bool_] | None]:
    """Return the samples of a second (C, S), zero where they were lost, and which are valid; None for all."""
    if sum(piece.shape[1] for _, piece in pieces) == rate_hz:
        return np.concatenate([piece for _, piece in pieces], axis=1), None
    samples = np.zeros((pieces[0][1].shape[0], rate_hz), np.float32)
    valid = np.zeros(rate_hz, np.bool_)
    for first_sample, piece in pieces:
        start = first_sample - begin_sample
        samples[:, start : start + piece.shape[1]] = piece
        valid[start : start + piece.shape[1]] = True
    return samples, valid


def _counts(valid: NDArray[np.bool_] | None, rate_hz: int, block_samples: int) -> NDArray[np.int64]:
    """Return the number of valid samples of each filter block."""
    if valid is None:
        return np.full(rate_hz // block_samples, block_samples, np.int64)
    return np.asarray(valid.reshape(-1, block_samples).sum(axis=1), np.int64)


def _exponential(
    values: NDArray[np.float64], before: tuple[float, float], rate_hz: int, block_samples: int
) -> NDArray[np.float64]:
    """Pass values (n,) through the low passes F and S: y[k] = d y[k-1] + (1 - d) x[k], with d = exp(-block / time).

    y[k] / d^k is a running sum, which is exact as long as a run is at most some hundred time constants long.

    Returns:
        (2, n), F and S.
    """
    growth, gain = _growth(rate_hz, block_samples, len(values))
    sums = np.cumsum(values * growth, axis=1)
    result: NDArray[np.float64] = (np.array(before)[:, None] + sums * gain) / growth
    return result


@lru_cache(maxsize=8)
def _growth(rate_hz: int, block_samples: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return d^-k (2, n) and 1 - d (2, 1) of F and S."""
    steps = block_samples / rate_hz / np.array([[FAST_S], [SLOW_S]])
    return np.exp(steps * np.arange(1, count + 1)), -np.expm1(-steps)


def _spaced(fast: NDArray[np.float64], present: NDArray[np.bool_]) -> tuple[float, ...]:
    """Return the values at the end of each eighth of the second that was measured there."""
    ends = (np.arange(1, FAST_SAMPLES_A_SECOND + 1) * len(present)) // FAST_SAMPLES_A_SECOND - 1
    places = np.cumsum(present) - 1
    return tuple(fast[places[ends[present[ends]]]].tolist())


@lru_cache(maxsize=8)
def _filters(rate_hz: int) -> BlockFilter:
    """Return the filter whose outputs are the weightings C and A."""
    return block_filter(weighting_sections(rate_hz), (C_SECTIONS, C_SECTIONS + 1), rate_hz)
