"""Whether what a microphone gives can be the sound of a place at all: a reducer over its blocks.

Conventions: samples (C, S) of full scale 1; levels in dB relative to it, None for digital silence. What is found does
not depend on how the sound is cut into blocks. A period is ten seconds, each second tallied by itself.
Rule: a fault of one period is a fault; one that three periods in a row do not show is none any more, so that a fault
that comes and goes is not told of each time. The rate is judged once a minute, by the least late of the deliveries in
its first and in its last ten seconds, since deliveries are late by chance, and by more while this machine is busy.
Does not: judge what is heard, or know silence in a quiet room from a microphone that hears little.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import reduce
from typing import Final

import numpy as np

from soundwatch.daemon.plight import Fault, Quality
from soundwatch.daemon.types import Block, Samples

PERIOD_S: Final = 10
CLEAN_PERIODS: Final = 3
CLIPPED_FROM: Final = 0.9999  # 16 bits reach 0.99997
CLIPPED_SHARE: Final = 1e-3  # 10 ms of ten seconds: more than a slammed door
OFFSET: Final = 0.02  # of full scale; good inputs have a tenth of it, and it takes headroom from every sound
DEAD_RATIO: Final = 1e-3  # a channel 60 dB below the other: microphones side by side never differ so
QUIET_PEAK: Final = 10 ** (-70 / 20)  # ten steps of 16 bits in ten seconds: even a quiet room's noise is more
RATE_NS: Final = 60_000_000_000
EDGE_NS: Final = 10_000_000_000
RATE_SHARE: Final = 0.005


@dataclass(frozen=True, slots=True)
class Tally:
    """What a stretch of sound comes to.

    Attributes:
        samples: How many in each channel.
        sums: Of each channel.
        squares: The same of their squares.
        peak: The largest magnitude.
        clipped_samples: How many, over all channels, are at full scale.
        twins: Whether there are two channels that are the same.
    """

    samples: int
    sums: tuple[float, ...]
    squares: tuple[float, ...]
    peak: float
    clipped_samples: int
    twins: bool

    @classmethod
    def of(cls, samples: Samples) -> Tally:
        """Of samples (C, S)."""
        size = np.abs(samples)
        return cls(
            samples=samples.shape[1],
            sums=tuple(samples.sum(axis=1, dtype=np.float64).tolist()),
            squares=tuple(np.square(samples, dtype=np.float64).sum(axis=1).tolist()),
            peak=float(size.max(initial=0)),
            clipped_samples=int(np.count_nonzero(size >= CLIPPED_FROM)),
            twins=samples.shape[0] == 2 and np.array_equal(samples[0], samples[1]),
        )

    def __add__(self, other: Tally) -> Tally:
        """Of both stretches."""
        return Tally(
            samples=self.samples + other.samples,
            sums=tuple(map(sum, zip(self.sums, other.sums, strict=True))),
            squares=tuple(map(sum, zip(self.squares, other.squares, strict=True))),
            peak=max(self.peak, other.peak),
            clipped_samples=self.clipped_samples + other.clipped_samples,
            twins=self.twins and other.twins,
        )

    @property
    def level_dbfs(self) -> float | None:
        """Root mean square over all channels."""
        power = sum(self.squares) / max(1, self.samples * len(self.squares))
        return 10 * math.log10(power) if power > 0 else None


@dataclass(frozen=True, slots=True)
class Examination:
    """Where it stands.

    Attributes:
        seconds: Tallies of the running period; the last may be of less than a second.
        absent: For each fault that was told of, for how many periods it has not been seen.
        counted_samples: Delivered in the running minute.
        first_ns: How late deliveries came for what they held, at least, in the minute's first seconds.
        last_ns: The same in its last.
        measured_hz: The last minute's rate.
    """

    seconds: tuple[Tally, ...] = ()
    absent: tuple[tuple[Fault, int], ...] = ()
    counted_samples: int = 0
    first_ns: int | None = None
    last_ns: int | None = None
    measured_hz: float | None = None


def examine(state: Examination, block: Block, arrival_ns: int) -> tuple[Examination, list[Quality]]:
    """Take account of one block.

    Args:
        state: After the block before.
        block: The next.
        arrival_ns: When it came, on a monotonic clock.

    Returns:
        The state after it, and what there is to be told: one for each period that changes the faults.
    """
    state = _timed(state, block, arrival_ns)
    told: list[Quality] = []
    rest = block.samples
    while rest.shape[1]:
        begun = state.seconds[-1].samples % block.rate_hz if state.seconds else 0
        piece, rest = np.split(rest, [block.rate_hz - begun], axis=1)
        tally = Tally.of(piece)
        seconds = (*state.seconds[:-1], state.seconds[-1] + tally) if begun else (*state.seconds, tally)
        state = replace(state, seconds=seconds)
        if len(seconds) == PERIOD_S and seconds[-1].samples == block.rate_hz:
            state, quality = _judged(state, block.rate_hz)
            told += [quality] if quality is not None else []
    return state, told


def judge_period(seconds: tuple[Tally, ...], rate_hz: int, measured_hz: float | None) -> Quality:
    """What is wrong with a period of sound, and its numbers."""
    whole = reduce(Tally.__add__, seconds)
    loudest, quietest = max(whole.squares), min(whole.squares)
    dc_offset = max((total / whole.samples for total in whole.sums), key=abs)
    clipped_share = whole.clipped_samples / (whole.samples * len(whole.sums))
    found: dict[Fault, bool] = {
        "silent": whole.peak == 0,
        "quiet": 0 < whole.peak < QUIET_PEAK,
        "dead_channel": quietest < DEAD_RATIO**2 * loudest,
        "dc_offset": abs(dc_offset) > OFFSET,
        "clipping": clipped_share > CLIPPED_SHARE,
        "rate": measured_hz is not None and abs(measured_hz / rate_hz - 1) > RATE_SHARE,
    }
    levels = [second.level_dbfs for second in seconds]
    return Quality(
        faults=tuple(fault for fault, seen in found.items() if seen),
        level_dbfs=whole.level_dbfs,
        floor_dbfs=None if None in levels else min(level for level in levels if level is not None),
        peak=whole.peak,
        dc_offset=dc_offset,
        clipped_share=clipped_share,
        same_channels=whole.twins,
        measured_hz=measured_hz,
    )


def _judged(state: Examination, rate_hz: int) -> tuple[Examination, Quality | None]:
    """At the end of a period: what is to be told, if the faults are others than before."""
    quality = judge_period(state.seconds, rate_hz, state.measured_hz)
    before = dict(state.absent)
    absent = dict.fromkeys(quality.faults, 0)
    for fault, periods in before.items():
        if fault not in absent and periods + 1 < CLEAN_PERIODS:
            absent[fault] = periods + 1
    state = replace(state, seconds=(), absent=tuple(absent.items()))
    return state, replace(quality, faults=tuple(sorted(absent))) if absent.keys() != before.keys() else None


def _timed(state: Examination, block: Block, arrival_ns: int) -> Examination:
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
