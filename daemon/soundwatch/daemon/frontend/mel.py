"""Mel spectrogram in decibels, in numpy.

Conventions: in, (C, S) float32 in -1 to 1 at `spec.rate_hz`; out, (C, M, T) float32 decibels.
Frames are centered: frame t covers the `n_fft` samples around sample t * hop_samples, the signal
mirrored at both ends. Decibels are 10 log10 of mel power, full scale 1.0.
Source: torchaudio's MelSpectrogram and AmplitudeToDB, which training uses; a parity test compares the
two. The slopes follow Slaney's Auditory Toolbox: triangles that meet at their neighbors' peaks.
Does not: resample, choose windows, or normalize (the network's graph does).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples, read_only
from soundwatch.daemon.core.records.window import Features, Window

_PART: Final = 64  # more than the new frames of a window of the shipped models


@dataclass(frozen=True, slots=True)
class MelState:
    """Cached frames of a stream's previous window, which shares most of them with the next.

    Attributes:
        decibels: (C, M, T) decibels before `top_db`, or (1, M, T) of a mono signal; None before the first window.
        first_sample: Number of the window's first sample.
    """

    decibels: NDArray[np.float32] | None = None
    first_sample: int = 0


def mel(state: MelState, window: Window, spec: FeatureSpec) -> tuple[MelState, Features]:
    """Compute the features of one window: the mel stage.

    Frames that reach past an end of the window use mirrored samples and belong to this window only. All others belong
    to the stream, at whole multiples of `hop_samples`: frames of the previous window are not computed again.

    Returns:
        The next state, and the features, within 1e-4 dB of `mel_db`.
    """
    inner = interior_frames(spec)
    passed = (window.first_sample - state.first_sample) // spec.hop_samples
    if state.decibels is None or not 0 < passed < len(inner):
        decibels = frames_to_mel_db(frame_signal(reflect_pad(window.samples, spec), spec), spec)  # (C, M, T)
    else:
        known = state.decibels[:, :, inner.start + passed : inner.stop]
        own = frames_to_mel_db(_frames_around(window.samples, inner.start, inner.stop - passed, spec), spec)
        decibels = np.concatenate((own[:, :, : inner.start], known, own[:, :, inner.start :]), axis=2)
    features = Features(
        mel_db=read_only(apply_top_db(decibels, spec)),
        first_sample=window.first_sample,
        end_sample=window.first_sample + window.valid_samples,
        complete=window.complete,
    )
    return MelState(read_only(decibels), window.first_sample), features


def mel_db(samples: Samples, spec: FeatureSpec) -> NDArray[np.float32]:
    """Compute mel decibels (C, M, T) of samples (C, S), limited to `top_db` below their maximum."""
    return apply_top_db(frames_to_mel_db(frame_signal(reflect_pad(samples, spec), spec), spec), spec)


def interior_frames(spec: FeatureSpec) -> range:
    """Return the frames of a window that need no mirrored samples."""
    half = spec.n_fft // 2
    return range(-(-half // spec.hop_samples), (spec.window_samples - spec.n_fft + half) // spec.hop_samples + 1)


def reflect_pad(samples: Samples, spec: FeatureSpec) -> Samples:
    """Extend samples (C, S) by half a mirrored frame at both ends: (C, S + n_fft)."""
    half = spec.n_fft // 2
    return np.concatenate((samples[:, half:0:-1], samples, samples[:, -2 : -half - 2 : -1]), axis=1)


def frame_signal(padded: Samples, spec: FeatureSpec) -> Samples:
    """Cut contiguous samples (C, S) into frames (C, T, n_fft), one at each multiple of `hop_samples`, as a view."""
    shape = (padded.shape[0], (padded.shape[1] - spec.n_fft) // spec.hop_samples + 1, spec.n_fft)
    channel_bytes, sample_bytes = padded.strides
    # Equal to numpy's sliding_window_view, in a tenth of its time; numpy checks the bounds of the buffer.
    return np.ndarray(
        shape, padded.dtype, padded, strides=(channel_bytes, spec.hop_samples * sample_bytes, sample_bytes)
    )


def _frames_around(samples: Samples, known_start: int, known_stop: int, spec: FeatureSpec) -> Samples:
    """Return the frames (C, T', n_fft) of a window (C, S) before `known_start` and from `known_stop` on."""
    half, hop_samples = spec.n_fft // 2, spec.hop_samples
    head = (samples[:, half:0:-1], samples[:, : (known_start - 1) * hop_samples - half + spec.n_fft])
    tail = (samples[:, known_stop * hop_samples - half :], samples[:, -2 : -half - 2 : -1])
    return np.concatenate([frame_signal(np.concatenate(end, axis=1), spec) for end in (head, tail)], axis=1)


def frames_to_mel_db(frames: Samples, spec: FeatureSpec) -> NDArray[np.float32]:
    """Compute mel decibels (C, M, T) of frames (C, T, n_fft)."""
    mel_power: NDArray[np.float32] = frame_power(frames) @ mel_filterbank(spec)  # (C, T, M)
    decibels = np.empty((frames.shape[0], spec.n_mels, frames.shape[1]), np.float32)
    np.maximum(mel_power.swapaxes(1, 2), np.float32(spec.power_floor), out=decibels)
    np.log(decibels, out=decibels)  # a quarter of log10's time: numpy vectorizes it
    decibels *= np.float32(10 / math.log(10))
    return decibels


def apply_top_db(decibels: NDArray[np.float32], spec: FeatureSpec) -> NDArray[np.float32]:
    """Limit decibels (C or 1, M, T) to `top_db` below their maximum, and repeat mono: (C, M, T)."""
    floor_db = -np.inf if spec.top_db is None else decibels.max() - np.float32(spec.top_db)
    out = np.empty((spec.channels, *decibels.shape[1:]), np.float32)
    np.maximum(decibels, np.float32(floor_db), out=out)
    return out


def stft_power(samples: Samples, spec: FeatureSpec) -> NDArray[np.float32]:
    """Compute the squared magnitude (C, T, F) of the short-time Fourier transform of samples (C, S)."""
    return frame_power(frame_signal(reflect_pad(samples, spec), spec))


def frame_power(frames: Samples) -> NDArray[np.float32]:
    """Compute the squared magnitude (C, T, F) of the spectrum of frames (C, T, n_fft) under the Hann window."""
    # float64: float32 rounds to 1e-7 of a frame's largest bin, which is 1e-3 dB of a bin 70 dB below.
    # float64 is also the faster of the two in numpy (docs/decisions/0011).
    # In parts: the arrays of a whole window would have pages of their own (core/process/memory.py), new ones each time.
    channels, count, n_fft = frames.shape
    power = np.empty((channels, count, n_fft // 2 + 1), np.float32)
    for channel in range(channels):
        for first in range(0, count, _PART):
            part = slice(first, first + _PART)
            power[channel, part] = _part_power(frames[channel, part])
    return power


def _part_power(frames: Samples) -> NDArray[np.float64]:
    """Compute the power (T, F) of at most `_PART` frames (T, n_fft)."""
    windowed = frames.astype(np.float64, order="C")
    # Factors of one type and shape: without memory for a conversion or a repetition numpy crashes.
    np.multiply(windowed, _repeated_window(frames.shape[-1])[: len(frames)], out=windowed)
    spectrum = np.fft.rfft(windowed, axis=-1)  # (T, F) complex128
    power: NDArray[np.float64] = np.square(spectrum.real)
    power += np.square(spectrum.imag)
    return power


@lru_cache(maxsize=8)
def hann_window(n_fft: int) -> NDArray[np.float32]:
    """Return the periodic Hann window (n_fft,).

    The steps round to float32 where torch rounds: a tone leaks through the rounding into bands far
    below it, where an exact window would differ by 0.001 dB.
    """
    phase = np.arange(n_fft, dtype=np.float32) * np.float32(2 * np.pi / n_fft)
    cosine = np.cos(phase.astype(np.float64)).astype(np.float32)
    return read_only(np.float32(0.5) - np.float32(0.5) * cosine)


@lru_cache(maxsize=8)
def _repeated_window(n_fft: int) -> NDArray[np.float64]:
    """Return the Hann window of some frames (_PART, n_fft)."""
    repeated = np.tile(hann_window(n_fft).astype(np.float64), (_PART, 1))
    repeated.setflags(write=False)
    return repeated


@lru_cache(maxsize=8)
def mel_filterbank(spec: FeatureSpec) -> NDArray[np.float32]:
    """Return weights (F, M) that sum a power spectrum's F bins into M mel bands.

    The steps round to float32 where torchaudio rounds: at a triangle's foot a weight is a small
    difference of large frequencies, and exact arithmetic would differ by 0.004 dB on a chirp.
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
    """Compute torch.linspace in float32: from both ends to the middle, each value rounded once."""
    first, last = np.float32(start), np.float32(stop)
    step = np.float64((last - first) / np.float32(count - 1))
    index = np.arange(count)
    return np.where(index < count // 2, first + step * index, last - step * (count - 1 - index)).astype(np.float32)


# Slaney's scale is linear up to 1 kHz, 3 mels per 200 Hz, then logarithmic: 27 mels per factor of 6.4.
_SLANEY_HZ_PER_MEL: Final = 200 / 3
_SLANEY_KNEE_HZ: Final = 1000.0
_SLANEY_KNEE_MEL: Final = _SLANEY_KNEE_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP: Final = math.log(6.4) / 27


def hz_to_mel(hz: float, scale: str) -> float:
    """Convert a frequency to the mel scale "htk" or "slaney"."""
    if scale == "htk":
        return 2595 * math.log10(1 + hz / 700)
    if hz < _SLANEY_KNEE_HZ:
        return hz / _SLANEY_HZ_PER_MEL
    return _SLANEY_KNEE_MEL + math.log(hz / _SLANEY_KNEE_HZ) / _SLANEY_LOG_STEP


def mel_to_hz(mels: NDArray[np.float32], scale: str) -> NDArray[np.float32]:
    """Invert `hz_to_mel` in float32, with powers in float64, since float32 libraries round powers differently."""
    if scale == "htk":
        return 700 * ((10 ** (mels / 2595).astype(np.float64)).astype(np.float32) - 1)
    exponents = _SLANEY_LOG_STEP * (mels - _SLANEY_KNEE_MEL)
    above = _SLANEY_KNEE_HZ * np.exp(exponents.astype(np.float64)).astype(np.float32)
    return np.where(mels < _SLANEY_KNEE_MEL, mels * _SLANEY_HZ_PER_MEL, above)
