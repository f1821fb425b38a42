"""Each condition has its stated effect on a clip, and its cost is counted by clip."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import numpy as np
import pytest
from rich.console import Console

from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.audio.read_audio import rms
from soundwatch.training.data.datasets.labeled_clips import labeled_clips
from soundwatch.training.data.datasets.urbansound8k import split_by_folds
from soundwatch.training.evaluation.pages.report_page import to_markdown
from soundwatch.training.evaluation.pages.trial_pages import robustness_page
from soundwatch.training.evaluation.recordings.conditions import CONDITIONS, LIMITED, Condition
from soundwatch.training.evaluation.recordings.robustness import RobustnessReport, compare, evaluate_robustness
from support.tone_classifier import TenTones

SILENT = Console(file=io.StringIO())
RATE_HZ = 22_050
BY_NAME = {condition.name: condition for condition in CONDITIONS}


def sine(frequency_hz: float, amplitude: float = 0.25) -> Samples:
    return (amplitude * np.sin(2 * np.pi * frequency_hz * np.arange(RATE_HZ) / RATE_HZ)).astype(np.float32)[None]


def under(name: str, samples: Samples) -> tuple[Samples, int]:
    return BY_NAME[name].change(samples, RATE_HZ, np.random.default_rng(1))


def db(samples: Samples) -> float:
    middle = samples[0, samples.shape[1] // 4 : -samples.shape[1] // 4]
    return float(20 * np.log10(rms(middle) + 1e-12))


@pytest.mark.parametrize("condition", CONDITIONS, ids=lambda condition: condition.name)
def test_a_condition_keeps_a_clips_length_and_type_and_leaves_the_clip_alone(condition: Condition) -> None:
    clip = sine(1000)
    before = clip.copy()
    samples, rate_hz = BY_NAME[condition.name].change(clip, RATE_HZ, np.random.default_rng(1))
    np.testing.assert_array_equal(clip, before)
    assert samples.dtype == np.float32
    assert np.isfinite(samples).all()
    assert samples.shape[1] / rate_hz == pytest.approx(1, abs=1e-3)


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_silence_stays_a_number_under_every_condition(name: str) -> None:
    assert np.isfinite(under(name, np.zeros((1, RATE_HZ), np.float32))[0]).all()


@pytest.mark.parametrize("gain_db", [-30, -20, -10, 10, 20])
def test_gain_is_gain_and_does_not_clip(gain_db: int) -> None:
    assert db(under(f"gain {gain_db:+d} dB", sine(1000))[0]) - db(sine(1000)) == pytest.approx(gain_db, abs=1e-3)


def test_clipping_is_at_full_scale_or_below_the_clips_own_peak() -> None:
    assert np.abs(under("gain +20 dB, clipped", sine(1000))[0]).max() == 1
    assert np.abs(under("peak clipped by 6 dB", sine(1000))[0]).max() == pytest.approx(0.25 * 10**-0.3, rel=1e-3)


def test_eight_bits_are_256_steps() -> None:
    samples = under("8 bit", sine(1000, 1.0))[0]
    assert np.unique(samples).size <= 256
    np.testing.assert_array_equal(samples * 128, np.round(samples * 128))
    assert (samples.min(), samples.max()) == (-1.0, 127 / 128)


@pytest.mark.parametrize(
    ("name", "passed_hz", "stopped_hz"),
    [("low-pass 4 kHz", 3800, 4200), ("low-pass 8 kHz", 7800, 8200), ("high-pass 300 Hz", 500, 200)],
)
def test_filters_pass_one_side_and_stop_the_other(name: str, passed_hz: int, stopped_hz: int) -> None:
    assert db(under(name, sine(passed_hz))[0]) - db(sine(passed_hz)) == pytest.approx(0, abs=0.1)
    assert db(under(name, sine(stopped_hz))[0]) - db(sine(stopped_hz)) < -40


def test_other_rates_keep_the_tone() -> None:
    for hz in (48_000, 44_100, 16_000):
        samples, rate_hz = under(f"source at {hz / 1000:g} kHz", sine(1000))
        assert rate_hz == hz
        assert int(np.abs(np.fft.rfft(samples[0])).argmax()) == 1000


def test_the_second_channel_is_equal_or_quieter() -> None:
    np.testing.assert_array_equal(under("stereo, both alike", sine(1000))[0], np.repeat(sine(1000), 2, axis=0))
    quiet = under("stereo, right 20 dB quieter", sine(1000))[0]
    np.testing.assert_allclose(quiet[1] * 10, quiet[0], rtol=1e-5)


def test_added_noise_is_above_the_clips_content() -> None:
    samples, rate_hz = under("noise at 12 to 20 kHz, -20 dB", sine(1000))
    power = np.square(np.abs(np.fft.rfft(samples[0])))  # bins of 1 Hz
    assert rate_hz == 44_100
    assert 10 * np.log10(power[12_000:20_001].sum() / power[990:1011].sum()) == pytest.approx(-20, abs=0.2)
    assert power[1100:11_900].sum() < 1e-4 * power.sum()


@pytest.mark.parametrize("snr_db", [20, 10])
def test_pink_noise_is_as_far_below_the_clip_as_stated(snr_db: int) -> None:
    noise = under(f"pink noise, SNR {snr_db} dB", sine(1000))[0] - sine(1000)
    assert 20 * np.log10(rms(sine(1000)) / rms(noise)) == pytest.approx(snr_db, abs=0.01)


@pytest.mark.parametrize("rt60_s", [0.3, 0.8])
def test_a_room_decays_by_60_db_in_its_time(rt60_s: float) -> None:
    click = np.zeros((1, 2 * RATE_HZ), np.float32)
    click[0, 0] = 1
    wet = under(f"room, RT60 {rt60_s:g} s", click)[0][0]
    assert np.sum(np.square(wet[1:])) == pytest.approx(np.square(wet[0]), rel=1e-3)
    quarter = round(rt60_s * RATE_HZ / 4)
    fall_db = 10 * np.log10(np.sum(np.square(wet[1:quarter])) / np.sum(np.square(wet[quarter + 1 : 2 * quarter])))
    assert fall_db == pytest.approx(15, abs=1)
    assert not np.abs(wet[round(rt60_s * RATE_HZ) + 1 :]).max() > 1e-5


def test_a_change_is_counted_clip_by_clip() -> None:
    before = np.array([True] * 6 + [False] * 4)
    after = np.array([True] * 4 + [False] * 2 + [True] + [False] * 3)
    change = compare(BY_NAME["gain -30 dB"], before, after, 0.5)
    assert (change.lost, change.gained, change.accuracy, change.change_points) == (2, 1, 0.5, -10.0)
    assert change.error_points == pytest.approx(17.32)
    assert change.limited
    assert frozenset({"rate", "channels", "gain"}) == LIMITED


def test_tones_survive_only_conditions_that_keep_their_band(tiny_data: Path) -> None:
    data = labeled_clips(split_by_folds(tiny_data, (1, 2), ()))
    report = evaluate_robustness(TenTones(), data, 1, SILENT)
    changes = {change.name: change for change in report.changes}
    assert (report.clips, report.accuracy, report.passing_share) == (20, 1.0, 1.0)
    for name in ("gain -30 dB", "gain +20 dB", "source at 48 kHz", "stereo, right 20 dB quieter", "low-pass 4 kHz"):
        assert (changes[name].accuracy, changes[name].change_points) == (1.0, 0.0), name
    high_passed = changes["high-pass 300 Hz"]  # the first class is a tone of 200 Hz
    assert (high_passed.lost, high_passed.change_points, high_passed.passing_share) == (0, 0.0, 0.9)
    assert msgspec.json.decode(msgspec.json.encode(report), type=RobustnessReport) == report
    assert report == evaluate_robustness(TenTones(), data, 1, SILENT)
    page = to_markdown(robustness_page(report))
    assert "| gain -30 dB | gain | 100.0 % | +0.0 ± 0.0 | yes | 100.0 % |" in page
