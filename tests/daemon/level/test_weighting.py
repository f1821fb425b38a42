"""The weightings A and C against the design goals and the class 1 limits of IEC 61672-1:2013, table 3."""

from __future__ import annotations

import numpy as np
import pytest

from soundwatch.daemon.level.weighting import C_SECTIONS, LEAST_RATE_HZ, analog_gain, gain, weighting_sections

# Nominal frequency, design goals of A and C, upper and lower limit of class 1, all in dB.
NONE = float("-inf")
TABLE = (
    (10, -70.4, -14.3, 3.0, NONE),
    (12.5, -63.4, -11.2, 2.5, NONE),
    (16, -56.7, -8.5, 2.0, -4.0),
    (20, -50.5, -6.2, 2.0, -2.0),
    (25, -44.7, -4.4, 2.0, -1.5),
    (31.5, -39.4, -3.0, 1.5, -1.5),
    (40, -34.6, -2.0, 1.0, -1.0),
    (50, -30.2, -1.3, 1.0, -1.0),
    (63, -26.2, -0.8, 1.0, -1.0),
    (80, -22.5, -0.5, 1.0, -1.0),
    (100, -19.1, -0.3, 1.0, -1.0),
    (125, -16.1, -0.2, 1.0, -1.0),
    (160, -13.4, -0.1, 1.0, -1.0),
    (200, -10.9, 0.0, 1.0, -1.0),
    (250, -8.6, 0.0, 1.0, -1.0),
    (315, -6.6, 0.0, 1.0, -1.0),
    (400, -4.8, 0.0, 1.0, -1.0),
    (500, -3.2, 0.0, 1.0, -1.0),
    (630, -1.9, 0.0, 1.0, -1.0),
    (800, -0.8, 0.0, 1.0, -1.0),
    (1000, 0.0, 0.0, 0.7, -0.7),
    (1250, 0.6, 0.0, 1.0, -1.0),
    (1600, 1.0, -0.1, 1.0, -1.0),
    (2000, 1.2, -0.2, 1.0, -1.0),
    (2500, 1.3, -0.3, 1.0, -1.0),
    (3150, 1.2, -0.5, 1.0, -1.0),
    (4000, 1.0, -0.8, 1.0, -1.0),
    (5000, 0.5, -1.3, 1.5, -1.5),
    (6300, -0.1, -2.0, 1.5, -2.0),
    (8000, -1.1, -3.0, 1.5, -2.5),
    (10000, -2.5, -4.4, 2.0, -3.0),
    (12500, -4.3, -6.2, 2.0, -5.0),
    (16000, -6.6, -8.5, 2.5, -16.0),
    (20000, -9.3, -11.2, 3.0, NONE),
)
NOMINAL_HZ, GOAL_A, GOAL_C, UPPER, LOWER = (np.array(column) for column in zip(*TABLE, strict=True))
EXACT_HZ = 1000 * 10 ** (np.round(10 * np.log10(NOMINAL_HZ / 1000)) / 10)


def response_db(weighting: str, rate_hz: int) -> np.ndarray:
    """The response at the frequencies of the table below half the rate."""
    sections = weighting_sections(rate_hz)[: C_SECTIONS if weighting == "C" else None]
    return np.asarray(20 * np.log10(gain(sections, EXACT_HZ[rate_hz / 2 > EXACT_HZ], rate_hz)))


def test_the_analog_formula_gives_the_table_of_the_standard() -> None:
    assert np.abs(20 * np.log10(analog_gain("A", EXACT_HZ)) - GOAL_A).max() < 0.06
    assert np.abs(20 * np.log10(analog_gain("C", EXACT_HZ)) - GOAL_C).max() < 0.06


@pytest.mark.parametrize("rate_hz", [44_100, 48_000, 88_200, 96_000, 192_000])
@pytest.mark.parametrize(("weighting", "goal"), [("A", GOAL_A), ("C", GOAL_C)])
def test_rates_of_sound_cards_hold_class_1_from_10_hz_to_20_khz(weighting: str, goal: np.ndarray, rate_hz: int) -> None:
    difference = response_db(weighting, rate_hz) - goal[rate_hz / 2 > EXACT_HZ]
    assert len(difference) == len(TABLE), "every frequency of the table is below half the rate"
    assert (difference <= UPPER).all()
    assert (difference >= LOWER).all()
    # The microphone and its case need the limits more than the filter: it takes 0.4 dB of them.
    assert np.abs(difference).max() < 0.4


@pytest.mark.parametrize("rate_hz", [LEAST_RATE_HZ, 8000, 11_025, 16_000, 22_050, 32_000])
@pytest.mark.parametrize(("weighting", "goal"), [("A", GOAL_A), ("C", GOAL_C)])
def test_lower_rates_hold_class_1_up_to_half_the_rate(weighting: str, goal: np.ndarray, rate_hz: int) -> None:
    difference = response_db(weighting, rate_hz) - goal[rate_hz / 2 > EXACT_HZ]
    assert (difference <= UPPER[: len(difference)]).all()
    assert (difference >= LOWER[: len(difference)]).all()


@pytest.mark.parametrize("rate_hz", [4000, 8000, 16_000, 44_100, 44_056, 48_000, 384_000])
def test_the_gain_at_1_khz_is_1(rate_hz: int) -> None:
    sections = weighting_sections(rate_hz)
    for part in (sections, sections[:C_SECTIONS]):
        assert gain(part, np.array([1000.0]), rate_hz)[0] == pytest.approx(1, abs=1e-9)
