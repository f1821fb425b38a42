"""The meter on real recordings, against references that share no code and no design with its filters.

LAeq and LCeq are compared with the spectrum of the whole recording times the analog weighting, which is the definition
in IEC 61672-1. LAFmax is compared with the analog poles and zeros, transformed at eight times the rate by scipy.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import scipy  # imports scipy.signal at its first use: the collection of tests is faster
import soundfile

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.level.meter import MeterState, SecondLevel, measure

POLES_HZ = {"C": (20.598997, 20.598997, 12194.217, 12194.217), "A": (107.65265, 737.86223)}
UPSAMPLING = 8


def zeros_poles(weighting: str) -> tuple[np.ndarray, np.ndarray]:
    """The analog zeros and poles of a weighting in rad/s."""
    hz = POLES_HZ["C"] + (POLES_HZ["A"] if weighting == "A" else ())
    return np.zeros(len(hz) - 2), -2 * np.pi * np.array(hz)


def analog_response(weighting: str, frequency_hz: np.ndarray) -> np.ndarray:
    """The gain of the weighting, 1 at 1 kHz."""
    zeros, poles = zeros_poles(weighting)
    omega = np.concatenate([2 * np.pi * frequency_hz, [2 * np.pi * 1000]])
    _, response = scipy.signal.freqs_zpk(zeros, poles, 1.0, omega)
    return np.asarray(np.abs(response[:-1]) / abs(response[-1]))


def metered(samples: np.ndarray, rate_hz: int) -> list[SecondLevel]:
    state, found = measure(MeterState(), Block(samples.astype(np.float32), rate_hz, 0))
    return found + measure(state, None)[1]


def energy_db(weighting: str, samples: np.ndarray, rate_hz: int) -> float:
    """The mean level of a signal (C, S) by its spectrum, padded so that no sound wraps around."""
    size = 2 * samples.shape[1]
    spectrum = np.abs(np.fft.rfft(samples - samples.mean(axis=1, keepdims=True), size)) ** 2
    weighted = spectrum * analog_response(weighting, np.fft.rfftfreq(size, 1 / rate_hz)) ** 2
    return float(10 * np.log10(2 * weighted.sum() / size / samples.size))


def fast_maximum_db(samples: np.ndarray, rate_hz: int) -> float:
    """LAFmax of a signal (C, S)."""
    high_hz = UPSAMPLING * rate_hz
    zeros, poles = zeros_poles("A")
    gain = 1 / abs(scipy.signal.freqs_zpk(zeros, poles, 1.0, [2 * np.pi * 1000])[1][0])
    sections = scipy.signal.zpk2sos(*scipy.signal.bilinear_zpk(zeros, poles, gain, high_hz))
    centered = samples - samples.mean(axis=1, keepdims=True)
    weighted = scipy.signal.sosfilt(sections, scipy.signal.resample_poly(centered, UPSAMPLING, 1, axis=1))
    decay = np.exp(-1 / (0.125 * high_hz))
    fast = scipy.signal.lfilter([1 - decay], [1, -decay], (weighted**2).mean(axis=0))
    return float(10 * np.log10(fast.max()))


@pytest.mark.parametrize("name", ["siren", "dog_bark", "thunder"])
def test_levels_of_real_recordings_agree_with_the_definition(shared_data: Path, name: str) -> None:
    folder = shared_data / "sounds" / name
    if not folder.exists():
        pytest.skip(f"there is no {folder}")
    path = min(folder.iterdir())
    samples, rate_hz = soundfile.read(path, dtype="float64", always_2d=True)
    samples = samples.T[:, : 2 * rate_hz]
    seconds = metered(samples, rate_hz)
    weights = [second.valid_samples for second in seconds]
    for weighting, means in (("A", [second.a for second in seconds]), ("C", [second.c for second in seconds])):
        level_db = 10 * np.log10(np.average(means, weights=weights))
        assert level_db == pytest.approx(energy_db(weighting, samples, rate_hz), abs=0.1), weighting
    fast_db = 10 * np.log10(max(second.fast_max for second in seconds))
    assert fast_db == pytest.approx(fast_maximum_db(samples, rate_hz), abs=0.15)
