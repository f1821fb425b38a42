"""1/3-octave bands from 25 Hz to 16 kHz by IEC 61260-1, from spectra of a second.

Conventions: samples (C, S) with full scale 1, without their mean; results are mean squares over the channels. Mid
frequencies are exact: 1 kHz times powers of 10^(1/10) (the base-10 system). A band exists where its upper edge is below
half the sampling rate.
Source: IEC 61260-1:2014, 5.2 to 5.5 for the frequencies, 5.10 for the limits of attenuation.
Rule: a frame is a second and the last quarter of the second before. Its window rises in that quarter and falls in its
own last one, and both are power complementary, so that each sample counts once in the sum of all frames, wherever a
sound lies. The spectrum's power is weighted by the squared magnitude of a Butterworth band pass of order 6. The rise is
that of Vorbis's window, whose leakage stays below the limits of attenuation. Bands near half the sampling rate have the
shape of all others, unlike those of filters by the bilinear transform.
Does not: give levels of less than a second, or follow a sound within a frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples

NOMINAL_HZ: Final = (
    "25", "31.5", "40", "50", "63", "80", "100", "125", "160", "200", "250", "315", "400", "500", "630", "800", "1000",
    "1250", "1600", "2000", "2500", "3150", "4000", "5000", "6300", "8000", "10000", "12500", "16000",
)  # fmt: skip
FIRST_NUMBER: Final = -16  # x of the first band; 1 kHz has x = 0
EDGE_RATIO: Final = 10 ** (1 / 20)  # of an edge to the mid frequency
ORDER: Final = 6
_NEGLIGIBLE_RATIO: Final = 2.5  # beyond, a band's gain is below -110 dB


@dataclass(frozen=True, slots=True)
class BandState:
    """End of the latest second, with the window's rise.

    Attributes:
        tail: (C, S).
        weight: Sum of the squared window over its valid samples.
    """

    tail: Samples
    weight: float


def mid_hz(rate_hz: int) -> NDArray[np.float64]:
    """Return the exact mid frequencies of the bands at a sampling rate, lowest first."""
    found = 1000 * 10 ** (np.arange(FIRST_NUMBER, FIRST_NUMBER + len(NOMINAL_HZ)) / 10)
    return np.asarray(found[found * EDGE_RATIO < rate_hz / 2], np.float64)


def squared_gain(band_hz: float, frequency_hz: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared gain of the band with a mid frequency, at frequencies above 0 Hz."""
    ratio = frequency_hz / band_hz
    detuning = (ratio - 1 / ratio) / (EDGE_RATIO - 1 / EDGE_RATIO)
    return np.asarray(1 / (1 + detuning ** (2 * ORDER)), np.float64)


def band_powers(
    state: BandState | None, samples: Samples, valid: NDArray[np.bool_] | None
) -> tuple[BandState, tuple[float, ...]]:
    """Measure the bands of the next second.

    Args:
        state: The state after the second before; None where the sound begins or whole seconds were lost.
        samples: (C, rate), zero where they were lost.
        valid: (rate,), which samples count; None for all.

    Returns:
        The next state, and the mean square of each band.
    """
    channels, rate_hz = samples.shape
    size = _frame_samples(rate_hz)
    overlap, rise = size - rate_hz, _rise(size - rate_hz)
    frame = np.empty((channels, size), np.float32)
    frame[:, :overlap] = 0.0 if state is None else state.tail
    frame[:, overlap:] = samples
    frame[:, rate_hz:] *= rise[::-1]
    spectra = np.fft.rfft(frame)  # (C, F)
    power = np.square(spectra.real).sum(axis=0) + np.square(spectra.imag).sum(axis=0)
    weights = _weights(rate_hz)
    begun, rising, falling = (
        float(weight.sum()) if valid is None else float(weight @ valid[part]) for part, weight in weights
    )
    weight = begun + falling + (0.0 if state is None else state.weight)
    scale = 2 / size / weight / channels if weight else 0.0
    after = BandState(samples[:, rate_hz - overlap :] * rise, rising)
    return after, tuple(float(gains @ power[start : start + len(gains)]) * scale for start, gains in _gains(rate_hz))


@lru_cache(maxsize=16)
def _rise(length: int) -> NDArray[np.float32]:
    """Return the rise of the window; its square and that of its reverse add up to 1."""
    place = (np.arange(length) + 0.5) / length
    return np.asarray(np.sin(np.pi / 2 * np.sin(np.pi / 2 * place) ** 2), np.float32)


@lru_cache(maxsize=8)
def _weights(rate_hz: int) -> tuple[tuple[slice, NDArray[np.float64]], ...]:
    """Return the squared window over the flat part of a second, and over its end as the rise and as the fall."""
    overlap = _frame_samples(rate_hz) - rate_hz
    rise = np.square(_rise(overlap), dtype=np.float64)
    end = slice(rate_hz - overlap, rate_hz)
    return (slice(0, rate_hz - overlap), np.ones(rate_hz - overlap)), (end, rise), (end, rise[::-1])


@lru_cache(maxsize=8)
def _frame_samples(rate_hz: int) -> int:
    """Return a length from 1.25 s on that has no prime factor above 5, for the transform's speed."""
    size = rate_hz + rate_hz // 4
    while True:
        rest = size
        for factor in (2, 3, 5):
            while rest % factor == 0:
                rest //= factor
        if rest == 1:
            return size
        size += 1


@lru_cache(maxsize=8)
def _gains(rate_hz: int) -> tuple[tuple[int, NDArray[np.float32]], ...]:
    """Return the first bin of each band, and its squared gains from there on."""
    size, found = _frame_samples(rate_hz), list[tuple[int, NDArray[np.float32]]]()
    for band_hz in mid_hz(rate_hz).tolist():
        start = int(band_hz / _NEGLIGIBLE_RATIO * size / rate_hz)
        end = min(int(band_hz * _NEGLIGIBLE_RATIO * size / rate_hz), size // 2) + 1
        gains = squared_gain(band_hz, np.arange(start, end) * rate_hz / size)
        found.append((start, gains.astype(np.float32)))
    return tuple(found)
