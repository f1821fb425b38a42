"""Frequency weightings A, C and Z of IEC 61672-1, as second-order sections at any sampling rate.

Conventions: a section is (b0, b1, b2, a1, a2) with a0 = 1; sections are float64 arrays (sections, 5). Gains are 1 at
1 kHz. Z is no filter: the signal without its mean.
Source: the pole frequencies of IEC 61672-1:2013, annex E. The weighting C has two poles at f1, two at f4 and two zeros
at 0 Hz; A has one more pole at f2 and one at f3 and two more zeros at 0 Hz.
Rule for f4: the bilinear transform compresses frequencies near half the sampling rate: at 44.1 kHz the response would
be 3.5 dB too low at 12.5 kHz. The section of the double pole at f4 therefore has the poles of the sampled analog filter
and a numerator that is fitted to the analog magnitude by least squares (the form of Vicanek, "Matched second order
digital filters", 2016). At rates of sound cards the high
passes lie far below, where the bilinear transform is exact to 0.01 dB.
Rule for low rates: the bilinear transform takes the pole at f3 up to half the rate. From 4.8 kHz on the weightings
hold the limits of class 1 up to half the rate; below 1.5 kHz the section would not be stable.
Does not: filter (`block_filter.py`).
"""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

Sections = NDArray[np.float64]

F1_HZ: Final = 20.598997
F2_HZ: Final = 107.65265
F3_HZ: Final = 737.86223
F4_HZ: Final = 12194.217
REFERENCE_HZ: Final = 1000.0
LEAST_RATE_HZ: Final = 5000
C_SECTIONS: Final = 2  # the first sections of `weighting_sections` are the weighting C, all of them A
_GRID: Final = 400


def analog_gain(weighting: str, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the gain (F,) of the design goal of A or C at frequencies (F,), 1 at 1 kHz."""
    return _analog(weighting, frequency_hz) / _analog(weighting, np.array([REFERENCE_HZ]))


def weighting_sections(rate_hz: int) -> Sections:
    """Return the sections of the weighting A at a sampling rate; the first `C_SECTIONS` are the weighting C."""
    sections = np.array([_high_pass(F1_HZ, F1_HZ, rate_hz), _low_pass(rate_hz), _high_pass(F2_HZ, F3_HZ, rate_hz)])
    reference = np.array([min(REFERENCE_HZ, rate_hz / 4)])
    for first, end, weighting in ((0, C_SECTIONS, "C"), (C_SECTIONS, 3, "A")):
        wanted = analog_gain(weighting, reference) / (1.0 if first == 0 else analog_gain("C", reference))
        sections[first, :3] *= (wanted / gain(sections[first:end], reference, rate_hz))[0]
    return sections


def gain(sections: Sections, frequency_hz: NDArray[np.float64], rate_hz: int) -> NDArray[np.float64]:
    """Return the gain (F,) of sections in series at frequencies (F,) below half the sampling rate."""
    delay = np.exp(-2j * np.pi * frequency_hz / rate_hz)
    powers = np.stack([np.ones_like(delay), delay, delay**2])  # (3, F)
    numerators = sections[:, :3] @ powers
    denominators = np.insert(sections[:, 3:], 0, 1.0, axis=1) @ powers
    result: NDArray[np.float64] = np.abs(np.prod(numerators / denominators, axis=0))
    return result


def _analog(weighting: str, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    squared = frequency_hz**2
    result = squared * F4_HZ**2 / ((squared + F1_HZ**2) * (squared + F4_HZ**2))
    if weighting == "A":
        result = result * squared / np.sqrt((squared + F2_HZ**2) * (squared + F3_HZ**2))
    return np.asarray(result)


def _high_pass(first_hz: float, second_hz: float, rate_hz: int) -> list[float]:
    """Return the section of two real poles and two zeros at 0 Hz, by the bilinear transform."""
    first, second = (
        (1 - tangent) / (1 + tangent) for tangent in (math.tan(math.pi * hz / rate_hz) for hz in (first_hz, second_hz))
    )
    return [1.0, -2.0, 1.0, -(first + second), first * second]


def _low_pass(rate_hz: int) -> list[float]:
    """Return the section of the double pole at f4: poles of the sampled filter, numerator fitted to the magnitude.

    With v = sin(w/2)^2, the squared magnitude of b0 + b1 z^-1 + b2 z^-2 is B0 (1 - v) + B1 v + B2 4 v (1 - v), which is
    linear in B0 = (b0 + b1 + b2)^2, B1 = (b0 - b1 + b2)^2 and B2 = -4 b0 b2. The gain at 0 Hz fixes B0.
    """
    pole = math.exp(-2 * math.pi * F4_HZ / rate_hz)
    frequency_hz = np.linspace(0, rate_hz / 2, _GRID + 1)[1:]
    v = np.sin(np.pi * frequency_hz / rate_hz) ** 2
    denominator = ((1 - pole) ** 2 + 4 * pole * v) ** 2
    wanted = (F4_HZ**2 / (frequency_hz**2 + F4_HZ**2)) ** 2 * denominator
    at_zero = (1 - pole) ** 4
    weights = 1 / wanted  # relative errors count
    columns = np.stack([v, 4 * v * (1 - v)], axis=1) * weights[:, None]
    at_nyquist, curvature = np.linalg.lstsq(columns, (wanted - at_zero * (1 - v)) * weights, rcond=None)[0]
    root_zero, root_nyquist = math.sqrt(at_zero), math.sqrt(max(0.0, float(at_nyquist)))
    half_sum = (root_zero + root_nyquist) / 2
    b0 = (half_sum + math.sqrt(max(0.0, half_sum**2 + float(curvature)))) / 2
    return [b0, (root_zero - root_nyquist) / 2, -float(curvature) / (4 * b0), -2 * pole, pole**2]
