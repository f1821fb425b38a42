"""The meter on signals whose levels are known, against IEC 61672-1:2013 and against scipy."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest
import scipy  # imports scipy.signal at its first use: the collection of tests is faster
from hypothesis import given, settings
from hypothesis import strategies as st

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.level.meter import MeterState, SecondLevel, decibels, measure
from soundwatch.daemon.level.weighting import weighting_sections

# Table 4 of IEC 61672-1:2013: milliseconds of 4 kHz, reference response and class 1 limits of LAFmax, dB re steady.
FAST_BURSTS = (
    (1000, 0.0, 0.5, -0.5),
    (500, -0.1, 0.5, -0.5),
    (200, -1.0, 0.5, -0.5),
    (100, -2.6, 1.0, -1.0),
    (50, -4.8, 1.0, -1.0),
    (20, -8.3, 1.0, -1.0),
    (10, -11.1, 1.0, -1.0),
    (5, -14.1, 1.0, -1.0),
    (2, -18.0, 1.0, -1.5),
    (1, -21.0, 1.0, -2.0),
    (0.5, -24.0, 1.0, -2.5),
    (0.25, -27.0, 1.0, -3.0),
)
SLOW_BURSTS = (
    (1000, -2.0, 0.5, -0.5),
    (500, -4.1, 0.5, -0.5),
    (200, -7.4, 0.5, -0.5),
    (100, -10.2, 1.0, -1.0),
    (50, -13.1, 1.0, -1.0),
    (20, -17.0, 1.0, -1.5),
    (10, -20.0, 1.0, -2.0),
    (5, -23.0, 1.0, -2.5),
    (2, -27.0, 1.0, -3.0),
)

SILENT_SECOND = np.zeros((1, 48_000), np.float32)


def sine(hz: float, seconds: float, rate_hz: int = 48_000, amplitude: float = 1.0) -> np.ndarray:
    """A sine (1, S)."""
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    return (amplitude * np.sin(2 * np.pi * hz * time_s)).astype(np.float32)[None]


def levels(samples: np.ndarray, rate_hz: int = 48_000) -> list[SecondLevel]:
    """The levels of a signal (C, S), in one block."""
    return cut_levels(samples, rate_hz, [samples.shape[1]])


@lru_cache(maxsize=1)
def steady_4_khz_db() -> float:
    """The level LAeq of the tone that the bursts are cut from."""
    return db(levels(sine(4000, 2))[-1].a)


def cut_levels(samples: np.ndarray, rate_hz: int, ends: list[int]) -> list[SecondLevel]:
    """The levels of a signal in blocks with these ends."""
    state, results, first = MeterState(), list[SecondLevel](), 0
    for end in [*ends, samples.shape[1]]:
        state, found = measure(state, Block(samples[:, first:end], rate_hz, first))
        results, first = results + found, end
    return results + measure(state, None)[1]


def db(mean_square: float) -> float:
    level = decibels(mean_square)
    assert level is not None
    return level


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100, 48_000])
def test_a_full_sine_of_1_khz_has_3_db_less_than_full_scale_by_every_weighting(rate_hz: int) -> None:
    last = levels(sine(1000, 12, rate_hz), rate_hz)[-1]
    for value in (last.a, last.c, last.z, last.fast_max, last.slow_max):
        assert db(value) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize(
    ("hz", "a_db", "c_db"), [(63, -26.2, -0.8), (250, -8.7, 0.0), (4000, 1.0, -0.8), (12_500, -4.3, -6.2)]
)
def test_other_sines_have_the_weighting_of_their_frequency(hz: float, a_db: float, c_db: float) -> None:
    last = levels(sine(hz, 4))[-1]
    assert db(last.z) == pytest.approx(-3.01, abs=0.01)
    assert db(last.a) == pytest.approx(-3.01 + a_db, abs=0.2)
    assert db(last.c) == pytest.approx(-3.01 + c_db, abs=0.2)


@pytest.mark.parametrize(("duration_ms", "response_db", "upper_db", "lower_db"), FAST_BURSTS)
def test_tone_bursts_hold_class_1_with_the_weighting_f(
    duration_ms: float, response_db: float, upper_db: float, lower_db: float
) -> None:
    samples = np.concatenate([SILENT_SECOND, sine(4000, duration_ms / 1000), SILENT_SECOND], 1)
    difference_db = db(max(level.fast_max for level in levels(samples))) - steady_4_khz_db() - response_db
    assert lower_db <= difference_db <= upper_db
    assert abs(difference_db) < 0.2, "far inside the limits"


@pytest.mark.parametrize(("duration_ms", "response_db", "upper_db", "lower_db"), SLOW_BURSTS)
def test_tone_bursts_hold_class_1_with_the_weighting_s(
    duration_ms: float, response_db: float, upper_db: float, lower_db: float
) -> None:
    samples = np.concatenate([SILENT_SECOND, sine(4000, duration_ms / 1000), SILENT_SECOND], 1)
    difference_db = db(max(level.slow_max for level in levels(samples))) - steady_4_khz_db() - response_db
    assert lower_db <= difference_db <= upper_db
    assert abs(difference_db) < 0.2, "far inside the limits"


def test_the_time_weightings_decay_by_34_7_and_4_3_decibels_a_second() -> None:
    ended = np.concatenate([sine(4000, 5), np.zeros((1, 2 * 48_000), np.float32)], 1)
    *_, first, second = levels(ended)
    assert db(first.fast[-1]) - db(second.fast[-1]) == pytest.approx(10 / 0.125 * math.log10(math.e), abs=0.05)
    assert db(first.slow_max) - db(second.slow_max) == pytest.approx(10 * math.log10(math.e), abs=0.05)


def test_a_whole_recording_agrees_with_scipy() -> None:
    rate_hz = 44_100
    rng = np.random.default_rng(2)
    sound = rng.normal(0, 0.05, (2, 7 * rate_hz)) * (1 + np.sin(np.arange(7 * rate_hz) / 9000))
    samples = np.clip(sound, -1, 1).astype(np.float32)
    sections = np.insert(weighting_sections(rate_hz), 3, 1.0, axis=1)
    start = scipy.signal.sosfilt_zi(sections)[:, None] * samples[:, :rate_hz].mean(axis=1)[None, :, None]
    squared = (scipy.signal.sosfilt(sections, samples.astype(np.float64), zi=start)[0] ** 2).mean(axis=0)
    decay = math.exp(-1 / (0.125 * rate_hz))
    fast = scipy.signal.lfilter([1 - decay], [1, -decay], squared)
    found = levels(samples, rate_hz)
    assert len(found) == 7
    for number, level in enumerate(found):
        second = slice(number * rate_hz, (number + 1) * rate_hz)
        assert db(level.a) == pytest.approx(db(squared[second].mean()), abs=1e-4)
        assert db(level.fast_max) == pytest.approx(db(fast[second].max()), abs=0.02)


def test_channels_count_by_their_powers_so_that_opposite_ones_do_not_cancel() -> None:
    one = sine(1000, 3)
    both = levels(np.concatenate([one, -one]))[-1]
    half = levels(np.concatenate([one, np.zeros_like(one)]))[-1]
    assert (db(both.a), db(both.z)) == pytest.approx((-3.01, -3.01), abs=0.01)
    assert (db(half.a), db(half.z)) == pytest.approx((-6.02, -6.02), abs=0.01)


def test_an_offset_of_the_sound_card_is_no_sound() -> None:
    found = levels(sine(1000, 3, amplitude=0.001) + np.float32(0.1))
    assert [db(level.z) for level in found] == pytest.approx([-63.01] * 3, abs=0.1)
    assert [db(level.a) for level in found] == pytest.approx([-63.01] * 3, abs=0.1)


def test_digital_silence_has_no_level() -> None:
    [level] = levels(np.zeros((2, 48_000), np.float32))
    assert [decibels(value) for value in (level.a, level.c, level.z, level.fast_max, level.slow_max)] == [None] * 5


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 25_000), max_size=12).map(sorted))
def test_any_cutting_of_the_signal_gives_equal_seconds(ends: list[int]) -> None:
    samples = np.random.default_rng(3).normal(0, 0.1, (2, 25_000)).astype(np.float32)
    assert cut_levels(samples, 8000, ends) == levels(samples, 8000)


def test_lost_sound_counts_as_coverage_and_never_as_silence() -> None:
    rate_hz = 8000
    samples = np.random.default_rng(4).normal(0, 0.1, (1, 6 * rate_hz)).astype(np.float32)
    whole = levels(samples, rate_hz)
    state, found = measure(MeterState(), Block(samples[:, :12_000], rate_hz, 0))
    state, more = measure(state, Block(samples[:, 13_000:20_000], rate_hz, 13_000, 1000))  # in the middle of a second
    found += more
    state, more = measure(state, Block(samples[:, 33_000:], rate_hz, 33_000, 13_000))  # a whole second and parts of two
    found += more
    assert [level.end_sample // rate_hz for level in found] == [1, 2, 3, 5, 6]
    assert [level.coverage for level in found] == [1.0, 0.875, 0.5, 0.875, 1.0]
    for level in found:
        complete = whole[level.end_sample // rate_hz - 1]
        assert db(level.a) == pytest.approx(db(complete.a), abs=0.4)
        assert db(level.z) == pytest.approx(db(complete.z), abs=0.4)
        assert db(level.fast_max) == pytest.approx(db(complete.fast_max), abs=1.5)


def test_the_end_of_the_sound_measures_the_second_that_is_not_complete() -> None:
    *_, last = levels(sine(1000, 2.25))
    assert (last.end_sample, last.coverage) == (144_000, 0.25)
    assert db(last.a) == pytest.approx(-3.01, abs=0.01)


@pytest.mark.parametrize("second", [sine(1000, 2, 16_000), np.repeat(sine(1000, 2), 2, axis=0)])
def test_another_rate_or_number_of_channels_begins_again(second: np.ndarray) -> None:
    rate_hz = second.shape[1] // 2
    state, found = measure(MeterState(), Block(sine(1000, 1.5), 48_000, 0))
    state, more = measure(state, Block(second, rate_hz, 2 * rate_hz))
    assert [level.coverage for level in (*found, *more)] == [1.0, 0.5, 1.0, 1.0]
    assert all(db(level.a) == pytest.approx(-3.01, abs=0.02) for level in more)
