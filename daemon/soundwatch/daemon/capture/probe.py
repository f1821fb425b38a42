"""Whether a microphone is any good, for people: some seconds of its sound as numbers, a picture and a verdict.

Conventions: samples (C, S) of full scale 1, levels in dB relative to it. A band is an octave; its bar ends at its
level. The picture of the level over time has a column for each tenth of a second, eight steps from -100 dB to 0.
The rate is measured over so short a time that only a gross error shows.
Does not: know how loud the place truly is, what sounds in it, or, in so short a time, whether it is ever quiet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from soundwatch.daemon.capture.audio_quality import LevelStats, assess_period
from soundwatch.daemon.capture.capture_process import MicrophoneProcess
from soundwatch.daemon.core.source import AudioFault, AudioQuality, SourceInfo
from soundwatch.daemon.core.types import Block, Samples

PROBE_S: Final = 3
BANDS_HZ: Final = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
LOWEST_DB: Final = -100
BAR: Final = 50
STEPS: Final = " ▁▂▃▄▅▆▇█"
RATE_SHARE: Final = 0.05  # deliveries are late by up to a tenth of a second, of three
ADVICE: Final[dict[AudioFault, str]] = {
    "silent": "It gives nothing but zeros: it is muted, switched off, or this is not the input it is plugged into.",
    "quiet": "It is all but silent, even for a quiet room: turn its gain up (`alsamixer`, `pavucontrol`).",
    "zeros": "Runs of exact zeros: the driver fills in what it lost, or a noise gate cuts the sound off.",
    "dead_channel": "One channel is dead, the other hears: a cable, or a mono microphone in a stereo input.",
    "dc_offset": "Its sound does not swing around zero, which takes headroom: a fault of the input; try another.",
    "clipping": "It is overdriven: turn its gain down.",
    "rate": "It does not deliver as many samples a second as it says.",
    "stalls": "It delivers nothing for a second and more: the machine or its sound server is too busy.",
}


@dataclass(frozen=True, slots=True)
class Probe:
    """Some seconds of a microphone.

    Attributes:
        info: What it is.
        samples: (C, S).
        arrivals_ns: When each delivery of these came.
        delivered_samples: How many the first delivery had.
    """

    info: SourceInfo
    samples: Samples
    arrivals_ns: tuple[int, ...]
    delivered_samples: int

    @property
    def measured_hz(self) -> float | None:
        """Samples a second by our clock; None where that cannot be told."""
        if len(self.arrivals_ns) < 2 or self.arrivals_ns[-1] <= self.arrivals_ns[0]:
            return None
        later: int = self.samples.shape[1] - self.delivered_samples
        return later * 1e9 / (self.arrivals_ns[-1] - self.arrivals_ns[0])

    @property
    def waited_ns(self) -> int:
        """The longest time in which nothing was delivered."""
        return max((after - before for before, after in pairwise(self.arrivals_ns)), default=0)

    @property
    def quality(self) -> AudioQuality:
        """What is wrong with it, and its numbers."""
        rate_hz = self.info.rate_hz
        seconds = (self.samples[:, first : first + rate_hz] for first in range(0, self.samples.shape[1], rate_hz))
        return assess_period(tuple(map(LevelStats.of, seconds)), rate_hz, self.measured_hz, self.waited_ns, RATE_SHARE)


def record_probe(device: str, seconds: float = PROBE_S) -> Probe:
    """Some seconds of a microphone's sound.

    Raises:
        SourceError: It cannot be opened, or is lost meanwhile.
    """
    source = MicrophoneProcess("probe", device, None, wait=False)
    heard: list[Block] = []
    for block in source.blocks():
        if isinstance(block, Block):
            heard.append(block)
            if sum(each.samples.shape[1] for each in heard) >= seconds * block.rate_hz:
                source.stop()
    arrivals_ns = tuple(each.arrival_ns for each in heard if each.arrival_ns is not None)
    samples = np.concatenate([each.samples for each in heard], axis=1)
    return Probe(source.info, samples, arrivals_ns, heard[0].samples.shape[1])


def probe_text(probe: Probe) -> str:
    """What is to be said of it: numbers, the level over time, the spectrum, a verdict."""
    info, quality = probe.info, probe.quality
    peak_dbfs = 20 * math.log10(quality.peak) if quality.peak > 0 else None
    rate = "" if quality.measured_hz is None else f"about {quality.measured_hz:.0f} Hz by the clock, "
    lines = [
        f"{info.description}: {info.rate_hz} Hz, {info.channels} channel{'s' * (info.channels > 1)}",
        f"level {_db(quality.level_dbfs)}, quietest second {_db(quality.floor_dbfs)}, peak {_db(peak_dbfs)}, "
        f"offset {quality.dc_offset:+.4f}, clipped {quality.clipped_share:.2%}",
        f"{rate}longest wait {quality.longest_gap_ms} ms, longest run of zeros {quality.longest_zero_run_ms} ms",
        *(["Both channels are the same: it is a mono microphone, which is fine."] if quality.same_channels else []),
        "",
        f"   level {level_sparkline(probe.samples, info.rate_hz)}",
        "",
        *(f"{hz:>7g} Hz {_bar(db)} {_db(db)}" for hz, db in octave_levels_db(probe.samples, info.rate_hz)),
        "",
        *(ADVICE[fault] for fault in quality.faults),
    ]
    return "\n".join([*lines, "This microphone can be used." if not quality.faults else "Verdict: see to that first."])


def level_sparkline(samples: Samples, rate_hz: int) -> str:
    """The level over time as a row of columns."""
    size = max(1, rate_hz // 10)
    tenths = (LevelStats.of(samples[:, first : first + size]).level_dbfs for first in range(0, samples.shape[1], size))
    return "".join(STEPS[round(_share(db) * (len(STEPS) - 1))] for db in tenths)


def octave_levels_db(samples: Samples, rate_hz: int) -> list[tuple[float, float | None]]:
    """The level of each octave band below half the rate: centre in Hz, and dB relative to full scale."""
    mono = samples.mean(axis=0, dtype=np.float64)
    window = np.hanning(len(mono))
    power = np.square(np.abs(np.fft.rfft(mono * window))) * 2 / (len(mono) * np.square(window).sum())
    bins_hz = np.fft.rfftfreq(len(mono), 1 / rate_hz)
    found: list[tuple[float, float | None]] = []
    for centre_hz in BANDS_HZ:
        if centre_hz * math.sqrt(2) <= rate_hz / 2:
            inside = (bins_hz >= centre_hz / math.sqrt(2)) & (bins_hz < centre_hz * math.sqrt(2))
            total = float(power[inside].sum())
            found.append((centre_hz, 10 * math.log10(total) if total > 0 else None))
    return found


def _bar(db: float | None) -> str:
    filled = round(_share(db) * BAR)
    return "█" * filled + "·" * (BAR - filled)


def _share(db: float | None) -> float:
    """How far a level is from `LOWEST_DB` to full scale."""
    return 0.0 if db is None else min(1.0, max(0.0, 1 - db / LOWEST_DB))


def _db(db: float | None) -> str:
    return "no sound at all" if db is None else f"{db:.1f} dBFS"
