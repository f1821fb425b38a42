"""The 1/3-octave bands against the class 1 limits of IEC 61260-1:2014, and on signals whose levels are known."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from soundwatch.daemon.config.level import LevelConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.level.bands import EDGE_RATIO, NOMINAL_HZ, band_powers, mid_hz, squared_gain
from soundwatch.daemon.level.meter import MeterState, SecondLevel, measure

RATE_HZ = 16_000
INFINITE = float("inf")
# Table 1 of IEC 61260-1:2014 for octaves: exponent of the octave ratio, least and largest attenuation of class 1 in dB.
LIMITS = (
    (0, -0.4, 0.4),
    (1 / 8, -0.4, 0.5),
    (1 / 4, -0.4, 0.7),
    (3 / 8, -0.4, 1.4),
    (0.499, -0.4, 5.3),
    (0.501, 1.2, INFINITE),
    (1, 16.6, INFINITE),
    (2, 40.5, INFINITE),
    (3, 60.0, INFINITE),
    (4, 70.0, INFINITE),
)


def relative_frequency(exponent: float) -> float:
    """Return the upper breakpoint of a 1/3-octave band for that of an octave (5.10.3)."""
    octave = 10**0.3
    return float(1 + (octave ** (1 / 6) - 1) / (octave ** (1 / 2) - 1) * (octave**exponent - 1))


def powers_of(samples: np.ndarray, rate_hz: int = RATE_HZ) -> np.ndarray:
    """The bands of each second of a signal (C, S): (seconds, B)."""
    state, found = None, []
    for first in range(0, samples.shape[1], rate_hz):
        state, powers = band_powers(state, samples[:, first : first + rate_hz], None)
        found.append(powers)
    return np.array(found)


def noise(seconds: float, rate_hz: int = RATE_HZ, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, (channels, round(seconds * rate_hz))).astype(np.float32)


def seconds_of(samples: np.ndarray, ends: list[int], lost: range = range(0)) -> list[SecondLevel]:
    """The levels of a signal in blocks with these ends, without the lost samples."""
    state, results, first = MeterState(), list[SecondLevel](), 0
    for end in [*ends, samples.shape[1]]:
        if first not in lost:
            state, found = measure(state, Block(samples[:, first:end], RATE_HZ, first), bands=True)
            results += found
        first = end
    return results


def test_mid_frequencies_are_exact_and_end_below_half_the_rate() -> None:
    assert mid_hz(48_000)[[0, 16, 28]] == pytest.approx([25.1189, 1000, 15848.93], abs=1e-2)
    assert [NOMINAL_HZ[len(mid_hz(rate_hz)) - 1] for rate_hz in (8000, 16_000, 44_100)] == ["3150", "6300", "16000"]
    assert np.abs(np.log10(mid_hz(48_000) / np.array(NOMINAL_HZ, float))).max() < 0.006


def test_the_shape_of_all_bands_holds_class_1() -> None:
    for exponent, least_db, largest_db in LIMITS:
        ratio = relative_frequency(exponent)
        attenuation_db = -10 * np.log10(squared_gain(1000.0, np.array([1000 * ratio, 1000 / ratio])))
        assert np.all((attenuation_db >= least_db) & (attenuation_db <= largest_db)), (exponent, attenuation_db)


@pytest.mark.parametrize(
    ("nominal", "rate_hz"), [("25", 16_000), ("31.5", 22_050), ("1000", 16_000), ("16000", 44_100)]
)
def test_tones_through_a_band_hold_class_1(nominal: str, rate_hz: int) -> None:
    number = NOMINAL_HZ.index(nominal)
    time_s = np.arange(2 * rate_hz) / rate_hz
    for exponent, least_db, largest_db in LIMITS:
        for ratio in {relative_frequency(exponent), 1 / relative_frequency(exponent)}:
            tone_hz = mid_hz(rate_hz)[number] * ratio
            if tone_hz < rate_hz / 2:
                tone = np.sin(2 * np.pi * tone_hz * time_s + 0.3).astype(np.float32)[None]
                attenuation_db = -10 * np.log10(powers_of(tone, rate_hz)[1, number] / 0.5)
                assert least_db <= attenuation_db <= largest_db, (tone_hz, attenuation_db)


def test_white_noise_has_the_power_of_its_bandwidth_in_each_band() -> None:
    mean = powers_of(noise(20), RATE_HZ).mean(axis=0)
    widths_hz = mid_hz(RATE_HZ) * (EDGE_RATIO - 1 / EDGE_RATIO)
    error_db = 10 * np.log10(mean / (0.01 * widths_hz / (RATE_HZ / 2)))
    statistical_db = 3 * 10 / np.log(10) / np.sqrt(20 * widths_hz)
    assert np.all(np.abs(error_db) < 0.1 + statistical_db), error_db


def test_pink_noise_has_equal_levels_in_all_bands() -> None:
    spectrum = np.exp(2j * np.pi * np.random.default_rng(2).random(5 * RATE_HZ + 1))
    spectrum[1:] /= np.sqrt(np.arange(1, len(spectrum)))
    pink = np.fft.irfft(spectrum).astype(np.float32)[None]
    levels_db = 10 * np.log10(powers_of(pink)[1:].mean(axis=0))
    assert np.ptp(levels_db[8:]) < 0.5, levels_db  # bands with enough bins to average the noise over


@pytest.mark.parametrize("place", [0, 1, 5000, 11_900, 12_100, 14_000, 15_999])
def test_the_energy_of_a_click_does_not_depend_on_its_place(place: int) -> None:
    samples = np.zeros((1, 3 * RATE_HZ), np.float32)
    samples[0, RATE_HZ + place] = 1.0
    energy = powers_of(samples)[:, 10:].sum(axis=0) * RATE_HZ
    expected = mid_hz(RATE_HZ)[10:] * (EDGE_RATIO - 1 / EDGE_RATIO) / (RATE_HZ / 2)
    assert 10 * np.log10(energy / expected) == pytest.approx(np.zeros(len(energy)), abs=0.15)


def test_channels_count_by_the_mean_of_their_powers() -> None:
    mono = noise(2)
    stereo = np.concatenate([mono, -mono])
    assert powers_of(stereo) == pytest.approx(powers_of(mono), rel=1e-5)


def test_any_way_of_cutting_gives_equal_bands_and_a_loss_changes_no_level() -> None:
    samples = noise(3) + 0.2
    whole = seconds_of(samples, [])
    cut = seconds_of(samples, [1, 700, 16_000, 23_456, 40_000])
    assert [second.bands for second in cut] == [second.bands for second in whole]
    partial = seconds_of(samples, [18_000, 24_000], lost=range(18_000, 18_001))
    assert partial[1].coverage == pytest.approx(0.625)
    assert 10 * np.log10(np.array(partial[1].bands[16:]) / whole[1].bands[16:]) == pytest.approx(0, abs=1.5)


def test_bands_without_the_meter_are_refused() -> None:
    with pytest.raises(msgspec.ValidationError, match=r"level\.enabled: true"):
        msgspec.convert({"bands": True}, LevelConfig)
