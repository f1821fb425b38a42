"""Constants of a waveform model's front end, shared by its two formats.

Conventions: the spectrum is a convolution with windowed cosines and sines. float32 is exact enough, since a
convolution adds each bin by itself: a loud bin's rounding does not reach a faint one, as it does in an FFT.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.frontend.mel import hann_window, mel_filterbank


def spectrum_weights(spec: FeatureSpec) -> NDArray[np.float32]:
    """Return windowed cosines, then sines, of all F bins: (2 F, 1, n_fft)."""
    turns = np.outer(np.arange(spec.n_fft // 2 + 1), np.arange(spec.n_fft)) % spec.n_fft / spec.n_fft  # (F, n_fft)
    waves = np.concatenate((np.cos(2 * np.pi * turns), np.sin(2 * np.pi * turns)))
    return (waves * hann_window(spec.n_fft).astype(np.float64)).astype(np.float32)[:, None]


def mel_weights(spec: FeatureSpec) -> NDArray[np.float32]:
    """Return the mel filters (M, F)."""
    return np.ascontiguousarray(mel_filterbank(spec).T)
