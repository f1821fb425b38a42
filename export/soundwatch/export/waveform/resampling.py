"""Resampling filter of a waveform model: the daemon's resampler as one convolution.

Conventions: for rates whose ratio is `outputs`/`inputs` in lowest terms, output sample k is a weighted sum of input
samples around k * inputs / outputs. The weights repeat every `outputs` outputs and `inputs` inputs, so one strided
convolution with `outputs` channels computes them.
Source: the weights are measured: libsoxr (HQ) is linear, so its responses to impulses are its weights. The convolution
equals libsoxr within 1e-6 of full scale, except for the first two samples of a recording (decision 0072).
Does not: resample in the daemon or in training (`frontend/resample.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.core.errors import ConfigError

HALF_WIDTH: Final = 96  # half of the filter, in samples at the lower rate; its weights beyond are below 1e-6
MAX_WEIGHTS: Final = 1 << 19  # 2 MB of float32
_QUALITY: Final = "HQ"  # as in `frontend/resample.py`


@dataclass(frozen=True, slots=True)
class ResamplingFilter:
    """Weights of a resampling convolution.

    Attributes:
        inputs: Stride of the convolution, in input samples.
        outputs: Output samples per stride.
        half_samples: Zeros before the first input sample.
        weights: (outputs, 1, 2 * half_samples + inputs) float32; None for equal rates.
    """

    inputs: int
    outputs: int
    half_samples: int
    weights: NDArray[np.float32] | None


def measure_filter(from_hz: int, to_hz: int) -> ResamplingFilter:
    """Measure the weights of the daemon's resampler.

    Raises:
        ConfigError: The rates have no small common ratio.
    """
    divisor = math.gcd(from_hz, to_hz)
    inputs, outputs = from_hz // divisor, to_hz // divisor
    if inputs == outputs:
        return ResamplingFilter(1, 1, 0, None)
    half_samples = math.ceil(HALF_WIDTH * max(1, from_hz / to_hz))
    taps = 2 * half_samples + inputs
    if outputs * taps > MAX_WEIGHTS:
        raise ConfigError(
            f"--rate {from_hz} needs a filter of {outputs * taps} weights for the model's {to_hz} Hz; at most "
            f"{MAX_WEIGHTS} were expected. Choose a common rate, such as 16000, 22050, 32000, 44100 or 48000."
        )
    # Blocks of silence around the impulse, so that no end of the signal is within the filter's reach.
    center = inputs * math.ceil(4 * half_samples / inputs)
    first_output = center // inputs * outputs
    weights = np.empty((outputs, 1, taps), np.float32)
    for tap in range(taps):
        impulse = np.zeros(2 * center + inputs)
        impulse[center - half_samples + tap] = 1
        response = soxr.resample(impulse, from_hz, to_hz, quality=_QUALITY)
        weights[:, 0, tap] = response[first_output : first_output + outputs]
    return ResamplingFilter(inputs, outputs, half_samples, weights)
