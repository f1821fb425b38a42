"""Resampler with torchaudio's default filter, as a stream.

Conventions: chunks (S, C) float32 in and out, as with `soxr.ResampleStream`. Output sample k is the signal at k / to_hz
seconds; S input samples give ceil(S to_hz / from_hz) output samples.
Source: the filter that torchaudio documents as `sinc_interp_hann`: the ideal low-pass at ROLLOFF of the lower rate's
Nyquist frequency, sin(t)/t, under a squared-cosine window of WIDTH zero crossings on each side.
With the rates in lowest terms, i inputs give o outputs, whose weights repeat. A group of inputs, a multiple of i, is
multiplied by one matrix of fixed size, so the sums do not depend on how the signal is cut into chunks.
Does not: import torch. A test compares it with torchaudio's.
"""

from __future__ import annotations

import math
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import SourceError

WIDTH: Final = 6  # torchaudio's `lowpass_filter_width`
ROLLOFF: Final = 0.99
_GROUP_SAMPLES: Final = 128  # inputs of one product, at least
MAX_WEIGHTS: Final = 4_000_000  # of a group, in 200 MB while they are computed; all usual rates need under 400,000


class WindowedSincStream:
    """Streaming resampler of one signal (S, C), with silence before its first sample.

    Args:
        from_hz: Rate of the input.
        to_hz: Rate of the output.
        channels: C.

    Raises:
        SourceError: The rates have so small a common divisor that the weights would take gigabytes.
    """

    def __init__(self, from_hz: int, to_hz: int, channels: int) -> None:
        divisor = math.gcd(from_hz, to_hz)
        self._inputs, self._outputs = from_hz // divisor, to_hz // divisor
        if self._outputs * (self._inputs + 2 * _half_width(self._inputs, self._outputs)) > MAX_WEIGHTS:
            raise SourceError(
                f"The sound has {from_hz} Hz and the model {to_hz} Hz, whose greatest common divisor is {divisor}; the "
                "filter of `resampler: torchaudio` would take gigabytes. Convert the sound to a usual rate, such as "
                "44100 or 48000 Hz, or use a model with the resampler libsoxr."
            )
        self._weights = _group_weights(self._inputs, self._outputs)  # (outputs, taps) of a group
        self._half = _half_width(self._inputs, self._outputs)
        self._pending = np.zeros((channels, self._half), np.float32)
        self._received = 0
        self._given = 0

    def resample_chunk(self, chunk: NDArray[np.float32], last: bool = False) -> NDArray[np.float32]:
        """Take samples (S, C); return the output samples (S', C) that they complete.

        Args:
            chunk: The next samples; may be none.
            last: True at the end of the signal: silence follows.
        """
        self._received += len(chunk)
        rows, taps = self._weights.shape
        step = taps - 2 * self._half
        parts = [self._pending, np.asarray(chunk, np.float32).T]
        if last:
            parts.append(np.zeros((len(self._pending), taps + step), np.float32))
        pending = np.concatenate(parts, axis=1)
        groups = max(0, (pending.shape[1] - 2 * self._half) // step)
        found = np.empty((len(pending), groups * rows), np.float32)
        for channel, group in np.ndindex(len(pending), groups):
            piece = pending[channel, group * step : group * step + taps]
            found[channel, group * rows : (group + 1) * rows] = self._weights @ piece
        self._pending = pending[:, groups * step :].copy()
        if last:
            found = found[:, : -(-self._received * self._outputs // self._inputs) - self._given]
        self._given += found.shape[1]
        return found.T


def _half_width(inputs: int, outputs: int) -> int:
    """Return the filter's reach on each side, in input samples."""
    return math.ceil(WIDTH * inputs / (min(inputs, outputs) * ROLLOFF))


@cache
def _group_weights(inputs: int, outputs: int) -> NDArray[np.float32]:
    """Return the weights (outputs, taps) of the outputs of a group of inputs; its taps begin `half` samples earlier."""
    half = _half_width(inputs, outputs)
    periods = -(-_GROUP_SAMPLES // inputs)
    cutoff = min(inputs, outputs) * ROLLOFF / inputs  # of the input's Nyquist frequency
    # torchaudio rounds the times of a period's outputs to float32, which moves samples by up to 3e-5.
    phases = (np.arange(outputs, dtype=np.float32) / np.float32(outputs)).astype(np.float64)
    at = ((np.arange(periods)[:, None] + phases) * inputs).reshape(-1, 1)  # time of each output, in input samples
    tap = np.arange(-half, periods * inputs + half)[None]
    distance = np.clip((tap - at) * cutoff, -WIDTH, WIDTH)  # in zero crossings; the window is 0 at WIDTH
    weights = np.sinc(distance) * np.cos(np.pi * distance / WIDTH / 2) ** 2 * cutoff
    return np.ascontiguousarray(weights, np.float32)
