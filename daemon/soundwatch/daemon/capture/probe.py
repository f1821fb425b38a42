"""Whether a microphone is any good, for people: some seconds of its sound as numbers, a picture and a verdict.

Conventions: samples (C, S) of full scale 1, levels in dB relative to it. A band is an octave; its bar ends at its
level.
Does not: know how loud the place truly is, or what sounds in it.
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np

from soundwatch.daemon.capture.isolated import IsolatedMicrophone
from soundwatch.daemon.capture.quality import Tally, judge_period
from soundwatch.daemon.plight import Fault
from soundwatch.daemon.types import Block, Samples, SourceInfo

PROBE_S: Final = 3
BANDS_HZ: Final = (31.5, 63, 125, 250, 500, 1000, 2000, 4000, 8000, 16_000)
LOWEST_DB: Final = -100
BAR: Final = 50
ADVICE: Final[dict[Fault, str]] = {
    "silent": "It gives nothing but zeros: it is muted, switched off, or this is not the input it is plugged into.",
    "quiet": "It is all but silent, even for a quiet room: turn its gain up (`alsamixer`, `pavucontrol`).",
    "dead_channel": "One channel is dead, the other hears: a cable, or a mono microphone in a stereo input.",
    "dc_offset": "Its sound does not swing around zero, which takes headroom: a fault of the input; try another.",
    "clipping": "It is overdriven: turn its gain down.",
    "rate": "It does not deliver as many samples a second as it says.",
}


def listen(device: str, seconds: float = PROBE_S) -> tuple[SourceInfo, Samples]:
    """Some seconds of a microphone's sound (C, S), and what it is.

    Raises:
        SourceError: It cannot be opened, or is lost meanwhile.
    """
    source = IsolatedMicrophone("probe", device, None, wait=False)
    heard: list[Samples] = []
    for block in source.blocks():
        if isinstance(block, Block):
            heard.append(block.samples)
            if sum(samples.shape[1] for samples in heard) >= seconds * block.rate_hz:
                source.stop()
    return source.info, np.concatenate(heard, axis=1)


def probe_text(info: SourceInfo, samples: Samples) -> str:
    """What is to be said of it: numbers, the level over time, the spectrum, a verdict."""
    rate_hz = info.rate_hz
    seconds = [samples[:, first : first + rate_hz] for first in range(0, samples.shape[1], rate_hz)]
    quality = judge_period(tuple(map(Tally.of, seconds)), rate_hz, None)
    peak_dbfs = 20 * math.log10(quality.peak) if quality.peak > 0 else None
    floor = f"quietest second {_db(quality.floor_dbfs)}"
    lines = [
        f"{info.description}: {rate_hz} Hz, {info.channels} channel{'s' * (info.channels > 1)}",
        f"level {_db(quality.level_dbfs)}, {floor}, peak {_db(peak_dbfs)}, offset {quality.dc_offset:+.4f}, "
        f"clipped {quality.clipped_share:.2%}",
        *(["Both channels are the same: it is a mono microphone, which is fine."] if quality.same_channels else []),
        "",
        *(f"{hz:>7g} Hz {_bar(db)} {_db(db)}" for hz, db in bands_db(samples, rate_hz)),
        "",
        *(ADVICE[fault] for fault in quality.faults),
    ]
    return "\n".join([*lines, "This microphone can be used." if not quality.faults else "Verdict: see to that first."])


def bands_db(samples: Samples, rate_hz: int) -> list[tuple[float, float | None]]:
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
    filled = 0 if db is None else round(min(1.0, max(0.0, 1 - db / LOWEST_DB)) * BAR)
    return "█" * filled + "·" * (BAR - filled)


def _db(db: float | None) -> str:
    return "no sound at all" if db is None else f"{db:.1f} dBFS"
