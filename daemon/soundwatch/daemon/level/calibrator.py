"""Calibration by the tone of a sound calibrator: what full scale is in decibels of sound pressure.

Conventions: samples (C, S) in -1 to 1; the level of a tone is its A-weighted level, which is that of every weighting at
1 kHz.
Rule: the tone has 1 kHz within 2 %, its level stays within 0.3 dB, it carries 90 % of the A-weighted power, and no
sample reaches full scale. Channels whose levels differ by more than 1 dB are refused: the calibrator reaches one of
them, and the mean of their powers would be too low.
Does not: record (`cli/calibrate_level.py`).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.level.meter import MeterState, decibels, measure
from soundwatch.daemon.level.weighting import LEAST_RATE_HZ, analog_gain

TONE_HZ: Final = 1000.0
TONE_TOLERANCE: Final = 0.02
STEADY_DB: Final = 0.3
TONE_SHARE: Final = 0.9
CHANNELS_DB: Final = 1.0
CHANNEL_NAMES: Final = ("left", "right")
FULL_SCALE: Final = 0.999
SETTLING_S: Final = 1


@dataclass(frozen=True, slots=True)
class ToneLevel:
    """A calibrator's tone.

    Attributes:
        tone_hz: Frequency of the tone.
        level_dbfs: Level of the tone relative to full scale.
        spread_db: Difference of the highest and the lowest second.
        seconds: Number of seconds that were measured.
    """

    tone_hz: float
    level_dbfs: float
    spread_db: float
    seconds: int


def measure_tone(blocks: Iterable[Block], seconds: int) -> ToneLevel:
    """Measure a calibrator's tone.

    Args:
        blocks: The sound; what comes after `seconds` is not read.
        seconds: Number of seconds to measure, after one in which the filters settle.

    Raises:
        SourceError: The sound is no steady tone of 1 kHz, or its rate is too low; the message says what was found.
    """
    state, levels = MeterState(), list[float]()
    latest, latest_end, highest, share, tone_hz = np.zeros((1, 0), np.float32), 0, 0.0, 0.0, 0.0
    for block in blocks:
        if block.rate_hz < LEAST_RATE_HZ:
            raise SourceError(
                f"The sound has a sampling rate of {block.rate_hz} Hz; levels need {LEAST_RATE_HZ} Hz or more. "
                "Open the source with a higher rate, 44100 or 48000."
            )
        state, found = measure(state, block)
        highest = max(highest, float(np.abs(block.samples).max(initial=0.0)))
        continues = block.first_sample == latest_end and latest.shape[0] == block.samples.shape[0]
        latest = np.concatenate([latest, block.samples], axis=1)[:, -block.rate_hz :] if continues else block.samples
        latest_end = block.first_sample + block.samples.shape[1]
        for second in found:
            if second.coverage < 1:
                raise SourceError("Sound was lost during the calibration. Stop other programs, and try again.")
            levels.append(second.a)
        if len(levels) > SETTLING_S + seconds - 1:
            tone_hz, share = _tone(latest, block.rate_hz)
            _check_channels(latest)
            break
    else:
        raise SourceError(f"The sound ended after {len(levels)} s; {SETTLING_S + seconds} s are needed.")
    return _checked(levels[SETTLING_S:], highest, tone_hz, share)


def _checked(levels: list[float], highest: float, tone_hz: float, share: float) -> ToneLevel:
    """Return the tone.

    Raises:
        SourceError: The tone is not fit for a calibration.
    """
    decibels_of = [decibels(level) for level in levels]
    known = [level for level in decibels_of if level is not None]
    mean_db = decibels(sum(levels) / len(levels))
    if mean_db is None or len(known) < len(levels):
        raise SourceError("The source delivers digital silence. Unmute it, and see `soundwatch devices --probe`.")
    found = f"a tone of {tone_hz:.0f} Hz with {share:.0%} of the sound, {mean_db:.1f} dBFS"
    if highest >= FULL_SCALE:
        raise SourceError(f"The sound reaches full scale ({found}). Lower the gain, and calibrate again.")
    if share < TONE_SHARE or abs(tone_hz - TONE_HZ) > TONE_TOLERANCE * TONE_HZ:
        raise SourceError(
            f"There is no tone of 1 kHz: {found} was found. Put the calibrator on the microphone, switch it on, and "
            "select that microphone's channel if there are several."
        )
    spread_db = max(known) - min(known)
    if spread_db > STEADY_DB:
        raise SourceError(
            f"The tone is not steady: its level changes by {spread_db:.1f} dB ({found}). Hold the calibrator still, "
            "and switch off any automatic gain control."
        )
    return ToneLevel(tone_hz, mean_db, spread_db, len(levels))


def _check_channels(samples: Samples) -> None:
    """Check that the channels of samples (C, S) have equal levels.

    Raises:
        SourceError: The levels differ; the message names the channel to select.
    """
    power = samples.var(axis=1, dtype=np.float64)
    loudest = int(np.argmax(power))
    weakest = float(power.min())
    if power[loudest] > weakest * 10 ** (CHANNELS_DB / 10):
        by = f"by {10 * np.log10(power[loudest] / weakest):.1f} dB" if weakest > 0 else "and one is silent"
        selected = f": `channels: {CHANNEL_NAMES[loudest]}`" if loudest < len(CHANNEL_NAMES) else ""
        raise SourceError(
            f"The levels of the {len(power)} channels differ {by}; channel {loudest + 1} is the loudest. Put the "
            f"calibrator on that microphone and select its channel{selected}."
        )


def _tone(samples: Samples, rate_hz: int) -> tuple[float, float]:
    """Return the strongest frequency of samples (C, S), and its share of the A-weighted power.

    The frequency is the centroid of the peak's five bins; the window's main lobe is four bins wide.
    """
    window = np.hanning(samples.shape[1])
    power = (np.abs(np.fft.rfft(samples * window, axis=1)) ** 2).sum(axis=0)
    frequency_hz = np.asarray(np.fft.rfftfreq(samples.shape[1], 1 / rate_hz), np.float64)
    weighted = power * analog_gain("A", frequency_hz) ** 2
    peak = int(np.argmax(weighted))
    near = slice(max(0, peak - 2), peak + 3)
    total = float(weighted.sum())
    if total == 0:
        return 0.0, 0.0
    tone_hz = float(np.average(frequency_hz[near], weights=power[near])) if power[near].any() else 0.0
    return tone_hz, float(weighted[near].sum()) / total
