"""Probe of a microphone: some seconds of its sound as numbers, a chart and a verdict.

Conventions: samples (C, S) of full scale 1, levels in dB relative to it. A band is an octave; its bar ends at its
level. The chart of the level over time has a column for each tenth of a second, eight steps from -100 dB to 0.
The time is short, so only a large error of the rate is noticed.
Does not: measure sound pressure, classify, or detect a place that is never quiet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from soundwatch.daemon.capture.microphones.open_microphone import open_microphone_apart
from soundwatch.daemon.capture.monitoring.audio_quality import LevelStats, assess_period
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.core.records.source import AudioFault, AudioQuality, SourceInfo

PROBE_S: Final = 3
BANDS_HZ: Final = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
LOWEST_DB: Final = -100
BAR: Final = 50
STEPS: Final = " ▁▂▃▄▅▆▇█"
RATE_SHARE: Final = 0.05  # deliveries are delayed by up to a tenth of a second, of three
ADVICE: Final[dict[AudioFault, str]] = {
    "silent": "All samples are zero: the microphone is muted, switched off, or plugged into another input.",
    "quiet": "The sound is nearly silent, even for a quiet room: raise the gain (`alsamixer`, `pavucontrol`).",
    "zeros": "Runs of exact zeros: the driver replaces lost sound, or a noise gate cuts the sound off.",
    "dead_channel": "One channel is silent: a faulty cable, or a mono microphone in a stereo input.",
    "opposite_channels": "The channels cancel each other, so their mean is silent: set `channels: left`, or `right`.",
    "dc_offset": "The sound has an offset, which takes headroom: a fault of the input; try another.",
    "clipping": "The input is overdriven: lower the gain.",
    "rate": "The number of samples per second differs from the device's rate: its rate is wrong, or it loses sound, as "
    "on a USB hub that is too slow.",
    "stalls": "No sound for a second or more: the machine or its sound server is too busy.",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """Some seconds of a microphone.

    Attributes:
        info: The microphone.
        samples: (C, S).
        arrivals_ns: Time of arrival of each delivery.
        delivered_samples: Number of samples in the first delivery.
    """

    info: SourceInfo
    samples: Samples
    arrivals_ns: tuple[int, ...]
    delivered_samples: int

    @property
    def measured_hz(self) -> float | None:
        """Samples per second of the monotonic clock; None for fewer than two deliveries."""
        if len(self.arrivals_ns) < 2 or self.arrivals_ns[-1] <= self.arrivals_ns[0]:
            return None
        later: int = self.samples.shape[1] - self.delivered_samples
        return later * 1e9 / (self.arrivals_ns[-1] - self.arrivals_ns[0])

    @property
    def gap_ns(self) -> int:
        """Longest time without a delivery."""
        return max((after - before for before, after in pairwise(self.arrivals_ns)), default=0)

    @property
    def quality(self) -> AudioQuality:
        """Assess the sound."""
        rate_hz = self.info.rate_hz
        seconds = (self.samples[:, first : first + rate_hz] for first in range(0, self.samples.shape[1], rate_hz))
        return assess_period(tuple(map(LevelStats.of, seconds)), rate_hz, self.measured_hz, self.gap_ns, RATE_SHARE)


def record_probe(device: str) -> Probe:
    """Record some seconds of a microphone.

    Raises:
        SourceError: The microphone cannot be opened, or is lost meanwhile.
    """
    source = open_microphone_apart("probe", device, None)
    blocks: list[Block] = []
    for item in source.blocks():
        if isinstance(item, Block):
            blocks.append(item)
            if sum(block.samples.shape[1] for block in blocks) >= PROBE_S * item.rate_hz:
                source.stop()
    arrivals_ns = tuple(block.arrival_ns for block in blocks if block.arrival_ns is not None)
    samples = np.concatenate([block.samples for block in blocks], axis=1)
    return Probe(source.info, samples, arrivals_ns, blocks[0].samples.shape[1])


def probe_text(probe: Probe) -> str:
    """Format a probe: numbers, the level over time, the spectrum, a verdict."""
    info, quality = probe.info, probe.quality
    peak_dbfs = 20 * math.log10(quality.peak) if quality.peak > 0 else None
    rate = "" if quality.measured_hz is None else f"about {quality.measured_hz:.0f} Hz by the clock, "
    lines = [
        f"{info.description}: {info.rate_hz} Hz, {info.channels} channel{'s' * (info.channels > 1)}",
        f"level {_db(quality.level_dbfs)}, quietest second {_db(quality.floor_dbfs)}, peak {_db(peak_dbfs)}, "
        f"offset {quality.dc_offset:+.4f}, clipped {quality.clipped_share:.2%}",
        f"{rate}longest gap {quality.longest_gap_ms} ms, longest run of zeros {quality.longest_zero_run_ms} ms",
        *(["Both channels are equal: a mono microphone, which is fine."] if quality.same_channels else []),
        "",
        f"   level {level_sparkline(probe.samples, info.rate_hz)}",
        "",
        *(f"{hz:>7g} Hz {_bar(db)} {_db(db)}" for hz, db in octave_levels_db(probe.samples, info.rate_hz)),
        "",
        *(ADVICE[fault] for fault in quality.faults),
    ]
    return "\n".join([*lines, "This microphone can be used." if not quality.faults else "Verdict: fix that first."])


def level_sparkline(samples: Samples, rate_hz: int) -> str:
    """Draw the level over time as a row of columns."""
    size = max(1, rate_hz // 10)
    tenths = (LevelStats.of(samples[:, first : first + size]).level_dbfs for first in range(0, samples.shape[1], size))
    return "".join(STEPS[round(_share(db) * (len(STEPS) - 1))] for db in tenths)


def octave_levels_db(samples: Samples, rate_hz: int) -> list[tuple[float, float | None]]:
    """Measure each octave band below half the rate: center in Hz, and level in dB relative to full scale."""
    mono = samples.mean(axis=0, dtype=np.float64)
    window = np.hanning(len(mono))
    power = np.square(np.abs(np.fft.rfft(mono * window))) * 2 / (len(mono) * np.square(window).sum())
    bins_hz = np.fft.rfftfreq(len(mono), 1 / rate_hz)
    found: list[tuple[float, float | None]] = []
    for center_hz in BANDS_HZ:
        if center_hz * math.sqrt(2) <= rate_hz / 2:
            inside = (bins_hz >= center_hz / math.sqrt(2)) & (bins_hz < center_hz * math.sqrt(2))
            total = float(power[inside].sum())
            found.append((center_hz, 10 * math.log10(total) if total > 0 else None))
    return found


def _bar(db: float | None) -> str:
    filled = round(_share(db) * BAR)
    return "█" * filled + "·" * (BAR - filled)


def _share(db: float | None) -> float:
    """Map a level between `LOWEST_DB` and full scale to 0 to 1."""
    return 0.0 if db is None else min(1.0, max(0.0, 1 - db / LOWEST_DB))


def _db(db: float | None) -> str:
    return "silence" if db is None else f"{db:.1f} dBFS"
