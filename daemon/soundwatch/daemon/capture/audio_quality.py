"""Whether what a microphone gives can be the sound of a place at all: a reducer over its blocks.

Conventions: samples (C, S) of full scale 1; levels in dB relative to it, None for digital silence. What is found does
not depend on how the sound is cut into blocks. A period is ten seconds, each second tallied by itself.
Rule: a fault of one period is a fault; one that three periods in a row do not show is none any more, so that a fault
that comes and goes is not told of each time. Noise is a fault when it has lasted for a minute. The rate is judged once
a minute, by the least late of the deliveries in its first and in its last ten seconds, since deliveries are late by
chance, and by more while this machine is busy.
Does not: judge what is heard, or know silence in a quiet room from a microphone that hears little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np

from soundwatch.daemon.core.source import AudioFault, AudioQuality
from soundwatch.daemon.core.types import Block, Samples

PERIOD_S: Final = 10
CLEAN_PERIODS: Final = 3
CLIPPED_FROM: Final = 0.9999  # 16 bits reach 0.99997
CLIPPED_SHARE: Final = 1e-3  # 10 ms of ten seconds: more than a slammed door
OFFSET: Final = 0.02  # of full scale; good inputs have a tenth of it, and it takes headroom from every sound
DEAD_RATIO: Final = 1e-3  # a channel 60 dB below the other: microphones side by side never differ so
ZEROS_MS: Final = 100  # of a microphone's own noise not a millisecond is exactly zero
NOISE_DBFS: Final = -20.0
NOISY_PERIODS: Final = 6
WAIT_MS: Final = 1000
QUIET_PEAK: Final = 10 ** (-70 / 20)  # ten steps of 16 bits in ten seconds: even a quiet room's noise is more
RATE_NS: Final = 60_000_000_000
EDGE_NS: Final = 10_000_000_000
RATE_SHARE: Final = 0.005


@dataclass(frozen=True, slots=True)
class LevelStats:
    """What a stretch of sound comes to.

    Attributes:
        samples: How many in each channel.
        sums: Of each channel.
        squares: The same of their squares.
        peak: The largest magnitude.
        clipped_samples: How many, over all channels, are at full scale.
        twins: Whether there are two channels that are the same.
        first_zeros: How many samples are exactly zero in all channels before the first that is not.
        last_zeros: The same after the last that is not.
        most_zeros: The longest such run.
    """

    samples: int
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    peak: float
    clipped_samples: int
    twins: bool
    first_zeros: int
    last_zeros: int
    most_zeros: int

    @classmethod
    def of(cls, samples: Samples) -> LevelStats:
        """Of samples (C, S)."""
        size = np.abs(samples)
        first_zeros, last_zeros, most_zeros = _zeros(samples)
        return cls(
            samples=samples.shape[1],
            sums=tuple(samples.sum(axis=1, dtype=np.float64).tolist()),
            squares=tuple(np.square(samples, dtype=np.float64).sum(axis=1).tolist()),
            peak=float(size.max(initial=0)),
            clipped_samples=int(np.count_nonzero(size >= CLIPPED_FROM)),
            twins=samples.shape[0] == 2 and np.array_equal(samples[0], samples[1]),
            first_zeros=first_zeros,
            last_zeros=last_zeros,
            most_zeros=most_zeros,
        )

    def __add__(self, other: LevelStats) -> LevelStats:
        """Of both stretches."""
        return LevelStats(
            samples=self.samples + other.samples,
            sums=tuple(map(sum, zip(self.sums, other.sums, strict=True))),
            squares=tuple(map(sum, zip(self.squares, other.squares, strict=True))),
            peak=max(self.peak, other.peak),
            clipped_samples=self.clipped_samples + other.clipped_samples,
            twins=self.twins and other.twins,
            first_zeros=self.first_zeros + (other.first_zeros if self.first_zeros == self.samples else 0),
            last_zeros=other.last_zeros + (self.last_zeros if other.last_zeros == other.samples else 0),
            most_zeros=max(self.most_zeros, other.most_zeros, self.last_zeros + other.first_zeros),
        )

    @property
    def level_dbfs(self) -> float | None:
        """Root mean square over all channels."""
        power = sum(self.squares) / max(1, self.samples * len(self.squares))
        return 10 * math.log10(power) if power > 0 else None


def _zeros(samples: Samples) -> tuple[int, int, int]:
    """How many samples are exactly zero in all channels at the start, at the end, and in the longest run."""
    heard = samples[0] != 0
    if heard.all():  # as is all but always so, and takes a tenth of the time
        return 0, 0, 0
    for channel in samples[1:]:
        heard |= channel != 0
    places = np.flatnonzero(heard)
    if not len(places):
        return samples.shape[1], samples.shape[1], samples.shape[1]
    first, last = int(places[0]), samples.shape[1] - 1 - int(places[-1])
    return first, last, max(first, last, int((places[1:] - places[:-1]).max(initial=1)) - 1)


@dataclass(frozen=True, slots=True)
class QualityState:
    """Where it stands.

    Attributes:
        seconds: Tallies of the running period; the last may be of less than a second.
        absent: For each fault that was told of, for how many periods it has not been seen.
        counted_samples: Delivered in the running minute.
        first_ns: How late deliveries came for what they held, at least, in the minute's first seconds.
        last_ns: The same in its last.
        measured_hz: The last minute's rate.
        arrived_ns: When the last delivery came.
        waited_ns: The longest time between two of this period.
        noisy_periods: How many in a row had no second below the limit for noise.
        twins: Whether the channels were the same when something was heard last; None before.
    """

    seconds: tuple[LevelStats, ...] = ()
    absent: tuple[tuple[AudioFault, int], ...] = ()
    counted_samples: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    measured_hz: float | None = None
    arrived_ns: int | None = None
    waited_ns: int = 0
    noisy_periods: int = 0
    twins: bool | None = None


def update_quality(
    state: QualityState, block: Block, arrival_ns: int | None
) -> tuple[QualityState, list[AudioQuality]]:
    """Take account of one block.

    Args:
        state: After the block before.
        block: The next.
        arrival_ns: When it came, by the steady clock; None where that says nothing.

    Returns:
        The state after it, and what each period that it ends was like.
    """
    if arrival_ns is not None:
        state = _timed(_awaited(state, arrival_ns), block, arrival_ns)
    told: list[AudioQuality] = []
    rest = block.samples
    while rest.shape[1]:
        begun = state.seconds[-1].samples % block.rate_hz if state.seconds else 0
        piece, rest = np.split(rest, [block.rate_hz - begun], axis=1)
        tally = LevelStats.of(piece)
        seconds = (*state.seconds[:-1], state.seconds[-1] + tally) if begun else (*state.seconds, tally)
        state = replace(state, seconds=seconds)
        if len(seconds) == PERIOD_S and seconds[-1].samples == block.rate_hz:
            state, quality = _judged(state, block.rate_hz)
            told.append(quality)
    return state, told


def assess_period(
    seconds: tuple[LevelStats, ...],
    rate_hz: int,
    measured_hz: float | None,
    waited_ns: int = 0,
    rate_share: float = RATE_SHARE,
) -> AudioQuality:
    """What is wrong with a period of sound by itself, and its numbers."""
    whole = reduce(LevelStats.__add__, seconds)
    loudest, quietest = max(whole.squares), min(whole.squares)
    dc_offset = max((total / whole.samples for total in whole.sums), key=abs)
    clipped_share = whole.clipped_samples / (whole.samples * len(whole.sums))
    zeros_ms, waited_ms = whole.most_zeros * 1000 // rate_hz, waited_ns // 1_000_000
    found: dict[AudioFault, bool] = {
        "silent": whole.peak == 0,
        "quiet": 0 < whole.peak < QUIET_PEAK,
        "zeros": whole.peak > 0 and zeros_ms >= ZEROS_MS,
        "dead_channel": quietest < DEAD_RATIO**2 * loudest,
        "dc_offset": abs(dc_offset) > OFFSET,
        "clipping": clipped_share > CLIPPED_SHARE,
        "rate": measured_hz is not None and abs(measured_hz / rate_hz - 1) > rate_share,
        "stalls": waited_ms >= WAIT_MS,
    }
    levels = [second.level_dbfs for second in seconds]
    return AudioQuality(
        faults=tuple(fault for fault, seen in found.items() if seen),
        level_dbfs=whole.level_dbfs,
        floor_dbfs=None if None in levels else min(level for level in levels if level is not None),
        peak=whole.peak,
        dc_offset=dc_offset,
        clipped_share=clipped_share,
        same_channels=whole.twins and whole.peak > 0,
        measured_hz=measured_hz,
        longest_zero_run_ms=zeros_ms,
        longest_gap_ms=waited_ms,
    )


def reset_period(state: QualityState) -> QualityState:
    """Where a period begins that has nothing to do with what was before; what was found still holds."""
    return replace(
        state, seconds=(), counted_samples=0, first_ns=None, last_ns=None, arrived_ns=None, waited_ns=0, noisy_periods=0
    )


def _judged(state: QualityState, rate_hz: int) -> tuple[QualityState, AudioQuality]:
    """At the end of a period: what it was like, with the faults that hold."""
    quality = assess_period(state.seconds, rate_hz, state.measured_hz, state.waited_ns)
    noisy = quality.floor_dbfs is not None and quality.floor_dbfs > NOISE_DBFS
    noisy_periods = state.noisy_periods + 1 if noisy else 0
    absent = dict.fromkeys(quality.faults, 0)
    if noisy_periods >= NOISY_PERIODS:
        absent["noisy"] = 0
    before = dict(state.absent)
    for fault, periods in before.items():
        if fault not in absent and periods + 1 < CLEAN_PERIODS:
            absent[fault] = periods + 1
    heard = quality.peak > 0  # silence says nothing of whether channels are the same
    changed = absent.keys() != before.keys() or (heard and state.twins not in (None, quality.same_channels))
    state = replace(
        state,
        seconds=(),
        absent=tuple(absent.items()),
        waited_ns=0,
        noisy_periods=noisy_periods,
        twins=quality.same_channels if heard else state.twins,
    )
    return state, replace(quality, faults=tuple(sorted(absent)), changed=changed)


def _awaited(state: QualityState, arrival_ns: int) -> QualityState:
    """Note how long nothing had come."""
    waited_ns = 0 if state.arrived_ns is None else arrival_ns - state.arrived_ns
    return replace(state, arrived_ns=arrival_ns, waited_ns=max(state.waited_ns, waited_ns))


def _timed(state: QualityState, block: Block, arrival_ns: int) -> QualityState:
    """Count what is delivered against the clock; what was lost is not delivered."""
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
