"""Samples to mel decibels: the front end, in numpy.

Conventions: in, (C, S) float32 in -1 to 1 at `spec.rate_hz`; out, (C, M, T) float32 decibels.
Frames are centred: frame t looks at the `n_fft` samples around sample t * hop_samples, the signal
mirrored at both ends. Decibels are 10 log10 of mel power, full scale 1.0.
Source: torchaudio's MelSpectrogram and AmplitudeToDB, which training uses; a parity test holds the
two together. The slopes follow Slaney's Auditory Toolbox: triangles that meet at their neighbours' peaks.
Does not: resample, choose windows, or normalise (that is in the network's graph).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.contract import FeatureSpec
from soundwatch.daemon.types import Features, Samples, Window, read_only


def mel(window: Window, spec: FeatureSpec) -> Features:
    """The mel stage: what the network sees of one window."""
    return Features(read_only(mel_db(window.samples, spec)), window.first_sample)


def mel_db(samples: Samples, spec: FeatureSpec) -> NDArray[np.float32]:
    """Mel decibels (C, M, T) of samples (C, S), cut off `top_db` below the loudest of all of them."""
    power = stft_power(samples, spec)  # (C, T, F)
    mel_power = power @ mel_filters(spec)  # (C, T, M)
    np.maximum(mel_power, np.float32(spec.power_floor), out=mel_power)
    decibels = np.log10(mel_power, out=mel_power)
    decibels *= np.float32(10)
    if spec.top_db is not None:
        np.maximum(decibels, decibels.max() - np.float32(spec.top_db), out=decibels)
    return np.ascontiguousarray(decibels.transpose(0, 2, 1))


def stft_power(samples: Samples, spec: FeatureSpec) -> NDArray[np.float32]:
    """Squared magnitude (C, T, F) of the short-time Fourier transform of samples (C, S)."""
    half = spec.n_fft // 2
    padded = np.pad(samples, ((0, 0), (half, half)), mode="reflect")  # (C, S + n_fft)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft, axis=1)[:, :: spec.hop_samples]
    # float64: the roundings of float32 are 1e-7 of a frame's loudest bin, which is 1e-3 dB of one 70 dB below.
    spectrum = np.fft.rfft(frames * hann(spec.n_fft).astype(np.float64), axis=-1)  # (C, T, F) complex128
    power = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power.astype(np.float32)


@lru_cache(maxsize=8)
def hann(n_fft: int) -> NDArray[np.float32]:
    """The periodic Hann window: its n_fft + 1st value would be its first.

    Rounded to float32 where torch rounds. A tone leaks through these roundings into the bands far
    below it, where an exact window would be 0.001 dB away.
    """
    phase = np.arange(n_fft, dtype=np.float32) * np.float32(2 * np.pi / n_fft)
    cosine = np.cos(phase.astype(np.float64)).astype(np.float32)
    return read_only(np.float32(0.5) - np.float32(0.5) * cosine)


@lru_cache(maxsize=8)
def mel_filters(spec: FeatureSpec) -> NDArray[np.float32]:
    """Weights (F, M) that sum a power spectrum's F bins into M mel bands.

    Every step rounds to float32 where torchaudio's does. At a triangle's foot a weight is a small
    difference of large frequencies, and exact arithmetic would be 0.004 dB away on a chirp.
    """
    bins_hz = _linspace(0, spec.rate_hz // 2, spec.n_fft // 2 + 1)[:, None]  # (F, 1); // is torchaudio's too
    low, high = (hz_to_mel(hz, spec.mel_scale) for hz in (spec.mel_min_hz, spec.mel_max_hz))
    edges_hz = mel_to_hz(_linspace(low, high, spec.n_mels + 2), spec.mel_scale)  # (M + 2,)
    gaps_hz = np.diff(edges_hz)
    rise = (bins_hz - edges_hz[:-2]) / gaps_hz[:-1]  # (F, M)
    fall = (edges_hz[2:] - bins_hz) / gaps_hz[1:]
    weights = np.maximum(0, np.minimum(rise, fall))
    if spec.mel_norm == "slaney":
        weights *= 2 / (edges_hz[2:] - edges_hz[:-2])
    return read_only(weights.astype(np.float32, copy=False))


def _linspace(start: float, stop: float, count: int) -> NDArray[np.float32]:
    """torch.linspace in float32: from both ends to the middle, each value rounded once."""
    first, last = np.float32(start), np.float32(stop)
    step = np.float64((last - first) / np.float32(count - 1))
    index = np.arange(count)
    return np.where(index < count // 2, first + step * index, last - step * (count - 1 - index)).astype(np.float32)


# Slaney's scale is linear up to 1 kHz, 3 mels per 200 Hz, then logarithmic: 27 mels per factor of 6.4.
_SLANEY_HZ_PER_MEL = 200 / 3
_SLANEY_KNEE_HZ = 1000.0
_SLANEY_KNEE_MEL = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27


def hz_to_mel(hz: float, scale: str) -> float:
    """A frequency on the mel scale "htk" or "slaney"."""
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    if hz < _SLANEY_KNEE_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return _SLANEY_KNEE_MEL + math.log(hz / _SLANEY_KNEE_HZ) / _SLANEY_LOG_STEP


def mel_to_hz(mels: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """The inverse of `hz_to_mel`; float32 but for the powers, which float32 libraries round each their own way."""
    if scale == "htk":
        return 700 * ((10 ** (mels / 2595).astype(np.float64)).astype(np.float32) - 1)
    exponents = _SLANEY_LOG_STEP * (mels - _SLANEY_KNEE_MEL)
    above = _SLANEY_KNEE_HZ * np.exp(exponents.astype(np.float64)).astype(np.float32)
    return np.where(mels < _SLANEY_KNEE_MEL, mels * _SLANEY_HZ_PER_MEL, above)
