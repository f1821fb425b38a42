"""Samples to mel decibels: the front end, in numpy.

Conventions: in, (C, S) float32 in -1 to 1 at `spec.rate_hz`; out, (C, M, T) float32 decibels.
Frames are centred: frame t looks at the `n_fft` samples around sample t * hop_samples, the signal
mirrored at both ends. Decibels are 10 log10 of mel power, full scale 1.0.
Source: torchaudio's MelSpectrogram and AmplitudeToDB, which training uses; a parity test holds the
two together. The slopes follow Slaney's Auditory Toolbox: triangles that meet at their neighbours' peaks.
Does not: resample, choose windows, or normalise (that is in the network's graph).
"""

from __future__ import annotations

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
    spectrum = np.fft.rfft(frames * hann(spec.n_fft), axis=-1)  # (C, T, F) complex64
    power: NDArray[np.float32] = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


@lru_cache(maxsize=8)
def hann(n_fft: int) -> NDArray[np.float32]:
    """The periodic Hann window: its n_fft + 1st value would be its first."""
    phase = 2 * np.pi * np.arange(n_fft) / n_fft
    return read_only((0.5 - 0.5 * np.cos(phase)).astype(np.float32))


@lru_cache(maxsize=8)
def mel_filters(spec: FeatureSpec) -> NDArray[np.float32]:
    """Weights (F, M) that sum a power spectrum's F bins into M mel bands."""
    bins_hz = np.linspace(0, spec.rate_hz / 2, spec.n_fft // 2 + 1)  # (F,)
    low, high = hz_to_mel(np.array([spec.mel_min_hz, spec.mel_max_hz]), spec.mel_scale)
    edges_hz = mel_to_hz(np.linspace(low, high, spec.n_mels + 2), spec.mel_scale)  # (M + 2,)
    rise = (bins_hz[:, None] - edges_hz[:-2]) / np.diff(edges_hz)[:-1]  # (F, M)
    fall = (edges_hz[2:] - bins_hz[:, None]) / np.diff(edges_hz)[1:]
    weights = np.maximum(0.0, np.minimum(rise, fall))
    if spec.mel_norm == "slaney":
        weights *= 2.0 / (edges_hz[2:] - edges_hz[:-2])
    return read_only(weights.astype(np.float32))


# Slaney's scale is linear up to 1 kHz, 3 mels per 200 Hz, then logarithmic: 27 mels per factor of 6.4.
_SLANEY_HZ_PER_MEL = 200.0 / 3
_SLANEY_KNEE_HZ = 1000.0
_SLANEY_KNEE_MEL = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = np.log(6.4) / 27


def hz_to_mel(hz: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """Frequencies on the mel scale "htk" or "slaney"."""
    if scale == "htk":
        return np.asarray(2595.0 * np.log10(1.0 + hz / 700.0))
    above = _SLANEY_KNEE_MEL + np.log(np.maximum(hz, _SLANEY_KNEE_HZ) / _SLANEY_KNEE_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_KNEE_HZ, hz / _SLANEY_HZ_PER_MEL, above)


def mel_to_hz(mels: NDArray[np.float64], scale: str) -> NDArray[np.float64]:
    """The inverse of `hz_to_mel`."""
    if scale == "htk":
        return np.asarray(700.0 * (10.0 ** (mels / 2595.0) - 1.0))
    above = _SLANEY_KNEE_HZ * np.exp(_SLANEY_LOG_STEP * (np.maximum(mels, _SLANEY_KNEE_MEL) - _SLANEY_KNEE_MEL))
    return np.where(mels < _SLANEY_KNEE_MEL, mels * _SLANEY_HZ_PER_MEL, above)
