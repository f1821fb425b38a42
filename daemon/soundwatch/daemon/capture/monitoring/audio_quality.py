"""Faults of a source's sound, such as silence, clipping, or channels that cancel: a reducer over its blocks.

Conventions: samples (C, S) of full scale 1; levels in dB relative to it, None for digital silence. The result does not
depend on the block boundaries. A period is ten seconds, with separate statistics for each second: blocks are kept until
a second is full, and its samples are measured in one pass.
Rule: a fault of one period is reported; it ends after three periods in a row without it, so that an intermittent fault
is not reported each time. Noise is a fault after one minute. The rate is measured once per minute, by the minimum lag
of the deliveries in the first and in the last ten seconds, since deliveries are delayed at random.
The mean of the channels is checked too, since a mono model gets it: channels of opposite phase cancel.
Does not: classify, or distinguish a quiet room from an insensitive microphone.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.core.records.source import AudioFault, AudioQuality

PERIOD_S: Final = 10
CLEAN_PERIODS: Final = 3
CLIPPED_FROM: Final = 0.9999  # 16 bits reach 0.99997
CLIPPED_SHARE: Final = 1e-3  # 10 ms of ten seconds: more than a slammed door
OFFSET: Final = 0.02  # of full scale; good inputs have a tenth, and an offset takes headroom
DEAD_RATIO: Final = 1e-3  # a channel 60 dB below the other: microphones at one place never differ so much
CANCELLED_SHARE: Final = 0.05  # of the power that the mean of independent channels has: 13 dB below
ZEROS_MS: Final = 100  # a microphone's own noise is never exactly zero for a millisecond
NOISE_DBFS: Final = -20.0
NOISY_PERIODS: Final = 6
GAP_MS: Final = 1000
USUAL_BLOCK_NS: Final = 300_000_000
GATHERED_NS: Final = 1_000_000_000  # the most that a block is longer without a stall
SMALLEST_POWER: Final = 1e-12  # -120 dBFS: below the rounding of 16 bits
QUIET_PEAK: Final = 10 ** (-70 / 20)  # ten steps of 16 bits: the noise of a quiet room is louder
RATE_NS: Final = 60_000_000_000
EDGE_NS: Final = 10_000_000_000
RATE_SHARE: Final = 0.005

EXACT_SAMPLES: Final = 8192  # fit into the processor's cache as float64


@dataclass(frozen=True, slots=True)
class LevelStats:
    """Statistics of consecutive samples.

    Attributes:
        samples: Number of samples per channel.
        sums: Sum of each channel.
        squares: Sum of squares of each channel.
        mean_squares: Sum of squares of the channels' mean.
        peak: Largest magnitude.
        clipped_samples: Number of samples at full scale, over all channels.
        same_channels: True if there are two equal channels.
        first_zeros: Number of leading samples that are exactly zero in all channels.
        last_zeros: Number of trailing samples that are exactly zero in all channels.
        longest_zeros: Longest run of samples that are exactly zero in all channels.
    """

    samples: int
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    mean_squares: float
    peak: float
    clipped_samples: int
    same_channels: bool
    first_zeros: int
    last_zeros: int
    longest_zeros: int

    @classmethod
    def of(cls, samples: Samples) -> LevelStats:
        """Compute the statistics of samples (C, S)."""
        first_zeros, last_zeros, longest_zeros = _zero_runs(samples)
        sums, products = np.zeros(samples.shape[0]), np.zeros((samples.shape[0], samples.shape[0]))
        for first in range(0, samples.shape[1], EXACT_SAMPLES):
            exact = samples[:, first : first + EXACT_SAMPLES].astype(np.float64)
            sums += exact.sum(axis=1)
            # (C, C), whose sum is that of the squared sum of the channels; `exact @ exact.T` takes four times as long
            products += np.vecdot(exact[:, np.newaxis], exact)
        peak = max(float(samples.max(initial=0)), -float(samples.min(initial=0)))
        return cls(
            samples=samples.shape[1],
            sums=tuple(sums.tolist()),
            squares=tuple(products.diagonal().tolist()),
            mean_squares=max(0.0, float(products.sum())) / samples.shape[0] ** 2,
            peak=peak,
            clipped_samples=int(np.count_nonzero(np.abs(samples) >= CLIPPED_FROM)) if peak >= CLIPPED_FROM else 0,
            same_channels=samples.shape[0] == 2 and np.array_equal(samples[0], samples[1]),
            first_zeros=first_zeros,
            last_zeros=last_zeros,
            longest_zeros=longest_zeros,
        )

    def __add__(self, other: LevelStats) -> LevelStats:
        """Join the statistics of two consecutive pieces."""
        return LevelStats(
            samples=self.samples + other.samples,
            sums=tuple(map(sum, zip(self.sums, other.sums, strict=True))),
            squares=tuple(map(sum, zip(self.squares, other.squares, strict=True))),
            mean_squares=self.mean_squares + other.mean_squares,
            peak=max(self.peak, other.peak),
            clipped_samples=self.clipped_samples + other.clipped_samples,
            same_channels=self.same_channels and other.same_channels,
            first_zeros=self.first_zeros + (other.first_zeros if self.first_zeros == self.samples else 0),
            last_zeros=other.last_zeros + (self.last_zeros if other.last_zeros == other.samples else 0),
            longest_zeros=max(self.longest_zeros, other.longest_zeros, self.last_zeros + other.first_zeros),
        )

    @property
    def opposite_channels(self) -> bool:
        """True if the channels cancel in their mean; offsets, which carry no sound, are left out."""
        channels, samples = len(self.sums), max(1, self.samples)
        if channels < 2:
            return False
        power = sum(
            square / samples - (total / samples) ** 2 for square, total in zip(self.squares, self.sums, strict=True)
        )
        mean_power = self.mean_squares / samples - (sum(self.sums) / channels / samples) ** 2
        independent_power = power / channels**2
        return independent_power > SMALLEST_POWER and mean_power < CANCELLED_SHARE * independent_power

    @property
    def level_dbfs(self) -> float | None:
        """Root mean square over all channels."""
        power = sum(self.squares) / max(1, self.samples * len(self.squares))
        return 10 * math.log10(power) if power > 0 else None


def _zero_runs(samples: Samples) -> tuple[int, int, int]:
    """Count the samples that are exactly zero in all channels at the start, at the end, and in the longest run."""
    zero = samples[0] == 0
    for channel in samples[1:]:
        zero &= channel == 0
    places = np.flatnonzero(zero)
    if not len(places):
        return 0, 0, 0
    ends = np.flatnonzero(places[1:] - places[:-1] > 1)  # of all runs but the last
    runs = np.diff(ends, prepend=-1, append=len(places) - 1)
    return int(runs[0]) * bool(zero[0]), int(runs[-1]) * bool(zero[-1]), int(runs.max())


@dataclass(frozen=True, slots=True)
class QualityState:
    """State between two blocks.

    Attributes:
        seconds: Statistics of the current period's full seconds.
        pieces: Samples of the current second so far.
        pieces_samples: Their number per channel.
        absent: For each reported fault, the number of periods without it.
        counted_samples: Samples delivered in the current minute.
        first_ns: Minimum lag of deliveries in the minute's first seconds.
        last_ns: Minimum lag of deliveries in the minute's last seconds.
        measured_hz: Rate of the last minute.
        arrived_ns: Time of the last delivery.
        gap_ns: Longest time between two deliveries of this period.
        noisy_periods: Number of periods in a row with no second below the limit for noise.
        same_channels: True if the channels were equal in the last period with sound; None before.
    """

    seconds: tuple[LevelStats, ...] = ()
    pieces: tuple[Samples, ...] = ()
    pieces_samples: int = 0
    absent: tuple[tuple[AudioFault, int], ...] = ()
    counted_samples: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    measured_hz: float | None = None
    arrived_ns: int | None = None
    gap_ns: int = 0
    noisy_periods: int = 0
    same_channels: bool | None = None


def update_quality(
    state: QualityState, block: Block, arrival_ns: int | None
) -> tuple[QualityState, list[AudioQuality]]:
    """Update the state with one block.

    Args:
        state: State after the previous block.
        block: The next block.
        arrival_ns: Time of arrival by the monotonic clock; None for a source without its own clock.

    Returns:
        The next state, and the quality of each period that the block completes.
    """
    if arrival_ns is not None:
        state = _measure_rate(_measure_gap(state, block, arrival_ns), block, arrival_ns)
    completed: list[AudioQuality] = []
    rest = block.samples
    while (missing := block.rate_hz - state.pieces_samples) <= rest.shape[1]:
        second = np.concatenate((*state.pieces, rest[:, :missing]), axis=1)
        rest = rest[:, missing:]
        state = replace(state, seconds=(*state.seconds, LevelStats.of(second)), pieces=(), pieces_samples=0)
        if len(state.seconds) == PERIOD_S:
            state, quality = _complete_period(state, block.rate_hz)
            completed.append(quality)
    if rest.shape[1]:
        state = replace(state, pieces=(*state.pieces, rest), pieces_samples=state.pieces_samples + rest.shape[1])
    return state, completed


def assess_period(
    seconds: tuple[LevelStats, ...],
    rate_hz: int,
    measured_hz: float | None,
    gap_ns: int,
    rate_share: float = RATE_SHARE,
) -> AudioQuality:
    """Assess a period of sound without its history."""
    whole = reduce(LevelStats.__add__, seconds)
    loudest, quietest = max(whole.squares), min(whole.squares)
    dc_offset = max((total / whole.samples for total in whole.sums), key=abs)
    clipped_share = whole.clipped_samples / (whole.samples * len(whole.sums))
    zeros_ms, gap_ms = whole.longest_zeros * 1000 // rate_hz, gap_ns // 1_000_000
    found: dict[AudioFault, bool] = {
        "silent": whole.peak == 0,
        "quiet": 0 < whole.peak < QUIET_PEAK,
        "zeros": whole.peak > 0 and zeros_ms >= ZEROS_MS,
        "dead_channel": quietest < DEAD_RATIO**2 * loudest,
        "opposite_channels": whole.opposite_channels,
        "dc_offset": abs(dc_offset) > OFFSET,
        "clipping": clipped_share > CLIPPED_SHARE,
        "rate": measured_hz is not None and abs(measured_hz / rate_hz - 1) > rate_share,
        "stalls": gap_ms >= GAP_MS,
    }
    levels = [second.level_dbfs for second in seconds]
    return AudioQuality(
        faults=tuple(fault for fault, seen in found.items() if seen),
        level_dbfs=whole.level_dbfs,
        floor_dbfs=None if None in levels else min(level for level in levels if level is not None),
        peak=whole.peak,
        dc_offset=dc_offset,
        clipped_share=clipped_share,
        same_channels=whole.same_channels and whole.peak > 0,
        measured_hz=measured_hz,
        longest_zero_run_ms=zeros_ms,
        longest_gap_ms=gap_ms,
    )


def reset_period(state: QualityState) -> QualityState:
    """Start a new period after a loss; keep the reported faults."""
    return QualityState(absent=state.absent, measured_hz=state.measured_hz, same_channels=state.same_channels)


def _complete_period(state: QualityState, rate_hz: int) -> tuple[QualityState, AudioQuality]:
    """Assess a complete period, and add the faults that have not ended yet."""
    quality = assess_period(state.seconds, rate_hz, state.measured_hz, state.gap_ns)
    noisy = quality.floor_dbfs is not None and quality.floor_dbfs > NOISE_DBFS
    noisy_periods = state.noisy_periods + 1 if noisy else 0
    absent = dict.fromkeys(quality.faults, 0)
    if noisy_periods >= NOISY_PERIODS:
        absent["noisy"] = 0
    before = dict(state.absent)
    for fault, periods in before.items():
        if fault not in absent and periods + 1 < CLEAN_PERIODS:
            absent[fault] = periods + 1
    sounding = quality.peak > 0  # in silence, equal channels mean nothing
    changed = absent.keys() != before.keys() or (sounding and state.same_channels not in (None, quality.same_channels))
    state = replace(
        state,
        seconds=(),
        absent=tuple(absent.items()),
        gap_ns=0,
        noisy_periods=noisy_periods,
        same_channels=quality.same_channels if sounding else state.same_channels,
    )
    return state, replace(quality, faults=tuple(sorted(absent)), changed=changed)


def _measure_gap(state: QualityState, block: Block, arrival_ns: int) -> QualityState:
    """Measure the time since the previous delivery; a longer block than usual was gathered for as much longer."""
    gathered_ns = block.samples.shape[1] * 1_000_000_000 // block.rate_hz - USUAL_BLOCK_NS
    gap_ns = 0 if state.arrived_ns is None else arrival_ns - state.arrived_ns - min(max(0, gathered_ns), GATHERED_NS)
    return replace(state, arrived_ns=arrival_ns, gap_ns=max(state.gap_ns, gap_ns))


def _measure_rate(state: QualityState, block: Block, arrival_ns: int) -> QualityState:
    """Compare the number of delivered samples with the clock."""
    counted_samples = state.counted_samples + block.samples.shape[1]
    counted_ns = counted_samples * 1_000_000_000 // block.rate_hz
    lag_ns = arrival_ns - counted_ns
    state = replace(state, counted_samples=counted_samples)
    if counted_ns < EDGE_NS:
        return replace(state, first_ns=min(lag_ns, lag_ns if state.first_ns is None else state.first_ns))
    if counted_ns < RATE_NS - EDGE_NS:
        return state
    state = replace(state, last_ns=min(lag_ns, lag_ns if state.last_ns is None else state.last_ns))
    if counted_ns < RATE_NS or state.first_ns is None or state.last_ns is None:
        return state
    between_ns = RATE_NS - EDGE_NS
    measured_hz = block.rate_hz * between_ns / max(1, between_ns + state.last_ns - state.first_ns)
    return replace(state, counted_samples=0, first_ns=None, last_ns=None, measured_hz=measured_hz)
