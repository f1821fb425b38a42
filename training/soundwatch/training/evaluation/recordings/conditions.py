"""Degradations of a clip by microphones, rooms and recorders.

Conventions: a condition maps samples (C, S) float32 and their rate to degraded samples and rate. Full
scale is 1. Noise comes from the given generator. The input clips are unchanged: they are not
normalized before.
Source: filters are windowed sincs (Hann, 1023 taps, -6 dB at the edge); room responses are white noise
that decays by 60 dB in the stated time, with the total energy of the direct sound (Polack's model).
Does not: change a clip's length by more than a resampler's rounding, or its level unless stated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final, Literal

import numpy as np
import soxr

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.audio.read_audio import Mono, rms
from soundwatch.training.sounds.ambience import pink_noise

Group = Literal["rate", "channels", "gain", "distortion", "filter", "room", "noise"]
Change = Callable[[Samples, int, np.random.Generator], tuple[Samples, int]]

LIMITED: Final[frozenset[Group]] = frozenset({"rate", "channels", "gain"})
_TAPS: Final = 1023
_HISS_HZ: Final = (12_000, 20_000)
_HISS_RATE_HZ: Final = 44_100


@dataclass(frozen=True, slots=True)
class Condition:
    """One degradation.

    Attributes:
        name: Name in reports.
        group: Kind of the degradation.
        change: Function of (C, S) samples, rate and generator that returns (C', S') samples and rate.
    """

    name: str
    group: Group
    change: Change


def _gain(samples: Samples, rate_hz: int, _: np.random.Generator, gain_db: float) -> tuple[Samples, int]:
    return np.asarray(samples * np.float32(10 ** (gain_db / 20))), rate_hz


def _clip(samples: Samples, rate_hz: int, _: np.random.Generator, gain_db: float) -> tuple[Samples, int]:
    return np.clip(samples * np.float32(10 ** (gain_db / 20)), -1, 1), rate_hz


def _overdrive(samples: Samples, rate_hz: int, _: np.random.Generator, over_db: float) -> tuple[Samples, int]:
    """Amplify the peak above full scale, clip, and restore the level."""
    ceiling = np.abs(samples).max() * np.float32(10 ** (-over_db / 20))
    return np.clip(samples, -ceiling, ceiling), rate_hz


def _quantise(samples: Samples, rate_hz: int, _: np.random.Generator, bits: int) -> tuple[Samples, int]:
    """Round to steps of 2 / 2^bits, without dither."""
    steps = np.float32(2 ** (bits - 1))
    return np.asarray(np.clip(np.round(samples * steps), -steps, steps - 1) / steps, np.float32), rate_hz


def _low_pass(samples: Samples, rate_hz: int, _: np.random.Generator, edge_hz: float) -> tuple[Samples, int]:
    return _filtered(samples, _sinc(edge_hz, rate_hz)), rate_hz


def _high_pass(samples: Samples, rate_hz: int, _: np.random.Generator, edge_hz: float) -> tuple[Samples, int]:
    taps = -_sinc(edge_hz, rate_hz)
    taps[_TAPS // 2] += 1
    return _filtered(samples, taps), rate_hz


def _sinc(edge_hz: float, rate_hz: int) -> Mono:
    """Design a low-pass filter; an edge above half the rate passes everything."""
    share = min(2 * edge_hz / rate_hz, 1.0)
    taps = share * np.sinc(share * (np.arange(_TAPS) - _TAPS // 2)) * np.hanning(_TAPS + 2)[1:-1]
    return np.asarray(taps / taps.sum(), np.float32)


def _filtered(samples: Samples, taps: Mono) -> Samples:
    """Filter without delay."""
    late = taps.size // 2
    return _convolved(samples, taps)[:, late : late + samples.shape[1]]


def _convolved(samples: Samples, response: Mono) -> Samples:
    """Compute the full convolution (C, S + taps - 1)."""
    length = samples.shape[1] + response.size - 1
    size = 1 << (length - 1).bit_length()
    spectrum = np.fft.rfft(samples, size, axis=1) * np.fft.rfft(response, size)
    return np.fft.irfft(spectrum, size, axis=1)[:, :length].astype(np.float32)


def _resampled(samples: Samples, rate_hz: int, _: np.random.Generator, to_hz: int) -> tuple[Samples, int]:
    return np.asarray(soxr.resample(samples.T, rate_hz, to_hz, quality="VHQ").T, np.float32), to_hz


def _second_channel(samples: Samples, rate_hz: int, _: np.random.Generator, gain_db: float) -> tuple[Samples, int]:
    """Return two channels: the first one, and a copy of it with a gain."""
    return np.concatenate([samples[:1], samples[:1] * np.float32(10 ** (gain_db / 20))]), rate_hz


def _hiss(samples: Samples, rate_hz: int, rng: np.random.Generator, snr_db: float) -> tuple[Samples, int]:
    """Resample to 44.1 kHz and add noise from 12 to 20 kHz at a given level below the clip."""
    wide, wide_hz = _resampled(samples, rate_hz, rng, _HISS_RATE_HZ)
    spectrum = np.fft.rfft(rng.standard_normal(wide.shape[1], np.float32))
    frequencies_hz = np.fft.rfftfreq(wide.shape[1], 1 / wide_hz)
    spectrum[(frequencies_hz < _HISS_HZ[0]) | (frequencies_hz > _HISS_HZ[1])] = 0
    return _with_noise(wide, np.fft.irfft(spectrum, wide.shape[1]).astype(np.float32), snr_db), wide_hz


def _pink(samples: Samples, rate_hz: int, rng: np.random.Generator, snr_db: float) -> tuple[Samples, int]:
    return _with_noise(samples, pink_noise(rng, samples.shape[1], rate_hz), snr_db), rate_hz


def _with_noise(samples: Samples, noise: Mono, snr_db: float) -> Samples:
    """Add equal noise to all channels, at a given level below the clip's root mean square."""
    level = rms(samples.ravel()) * 10 ** (-snr_db / 20) / max(rms(noise), 1e-12)
    return samples + noise * np.float32(level)


def _room(samples: Samples, rate_hz: int, rng: np.random.Generator, rt60_s: float) -> tuple[Samples, int]:
    """Add a room response, at the level of the clip."""
    time_s = np.arange(1, round(rt60_s * rate_hz)) / rate_hz
    tail = rng.standard_normal(time_s.size) * 10 ** (-3 * time_s / rt60_s)
    response = np.concatenate([[1.0], tail / np.sqrt(np.sum(np.square(tail)))]).astype(np.float32)
    wet = _convolved(samples, response)[:, : samples.shape[1]]
    return wet * np.float32(rms(samples.ravel()) / max(rms(wet.ravel()), 1e-12)), rate_hz


CONDITIONS: Final = (
    *(Condition(f"gain {gain:+d} dB", "gain", partial(_gain, gain_db=gain)) for gain in (-30, -20, -10, 10, 20)),
    *(Condition(f"gain {gain:+d} dB, clipped", "distortion", partial(_clip, gain_db=gain)) for gain in (10, 20)),
    *(Condition(f"peak clipped by {over} dB", "distortion", partial(_overdrive, over_db=over)) for over in (6, 12)),
    Condition("8 bit", "distortion", partial(_quantise, bits=8)),
    *(Condition(f"source at {hz / 1000:g} kHz", "rate", partial(_resampled, to_hz=hz)) for hz in (48000, 44100, 16000)),
    Condition("stereo, both alike", "channels", partial(_second_channel, gain_db=0.0)),
    Condition("stereo, right 20 dB quieter", "channels", partial(_second_channel, gain_db=-20.0)),
    *(Condition(f"low-pass {hz // 1000} kHz", "filter", partial(_low_pass, edge_hz=hz)) for hz in (4000, 8000)),
    Condition("high-pass 300 Hz", "filter", partial(_high_pass, edge_hz=300)),
    Condition("noise at 12 to 20 kHz, -20 dB", "filter", partial(_hiss, snr_db=20)),
    *(Condition(f"room, RT60 {rt60:g} s", "room", partial(_room, rt60_s=rt60)) for rt60 in (0.3, 0.8)),
    *(Condition(f"pink noise, SNR {snr} dB", "noise", partial(_pink, snr_db=snr)) for snr in (20, 10)),
)
