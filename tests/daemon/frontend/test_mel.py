from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.window import Window
from soundwatch.daemon.frontend.mel import (
    MelState,
    hann_window,
    hz_to_mel,
    mel,
    mel_db,
    mel_filterbank,
    mel_to_hz,
    stft_power,
)
from support.fakes import SMALL_SPEC, silence, tone

FLOOR_DB = -100.0  # of a power_floor of 1e-10
SPECS = [
    SMALL_SPEC,
    msgspec.structs.replace(SMALL_SPEC, mel_scale="slaney", mel_norm="slaney", mel_min_hz=50.0),
    msgspec.structs.replace(SMALL_SPEC, rate_hz=11025, mel_max_hz=5512.5),
]


def test_the_stage_gives_the_windows_place_and_cannot_be_written_to() -> None:
    window = Window(tone(1000, 0.4), first_sample=800, valid_samples=3000, complete=False)
    _, features = mel(MelState(), window, SMALL_SPEC)
    assert (features.first_sample, features.end_sample, features.complete) == (800, 3800, False)
    assert features.mel_db.shape == SMALL_SPEC.input_shape
    assert features.mel_db.dtype == np.float32
    with pytest.raises(ValueError, match="read-only"):
        features.mel_db[0] = 0


def test_digital_silence_gives_the_floor_and_not_nan() -> None:
    np.testing.assert_allclose(mel_db(silence(0.4), SMALL_SPEC), FLOOR_DB, rtol=1e-6)


def test_the_quietest_16_bit_sound_is_above_silence() -> None:
    faint = np.zeros((1, SMALL_SPEC.window_samples), np.float32)
    faint[0, 1600] = 1 / 32768
    assert mel_db(faint, SMALL_SPEC).max() > FLOOR_DB + 10


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    edges_hz = mel_to_hz(np.linspace(0, hz_to_mel(4000, "htk"), 18, dtype=np.float32), "htk")
    for band in range(16):
        loudest = mel_db(tone(float(edges_hz[band + 1]), 0.4), SMALL_SPEC)[0, :, 16].argmax()
        assert loudest == band


def test_no_value_is_more_than_top_db_below_the_peak() -> None:
    decibels = mel_db(tone(1000, 0.4), SMALL_SPEC)
    assert decibels.max() - decibels.min() == pytest.approx(80, abs=1e-4)
    uncut = mel_db(tone(1000, 0.4), msgspec.structs.replace(SMALL_SPEC, top_db=None))
    assert uncut.max() - uncut.min() > 80


def test_the_peak_is_taken_over_all_channels() -> None:
    stereo = msgspec.structs.replace(SMALL_SPEC, channels=2)
    quiet_left = np.concatenate([1e-5 * tone(500, 0.4), tone(1000, 0.4)])
    decibels = mel_db(quiet_left, stereo)
    assert decibels[0].max() == pytest.approx(decibels[1].max() - 80, abs=1e-4)


@pytest.mark.slow
@given(st.floats(-60, 0))
def test_a_gain_moves_every_band_by_its_decibels(gain_db: float) -> None:
    noise = np.random.default_rng(1).normal(size=(1, SMALL_SPEC.window_samples)).astype(np.float32)
    quieter = (noise * 10 ** (gain_db / 20)).astype(np.float32)
    np.testing.assert_allclose(mel_db(quieter, SMALL_SPEC) - mel_db(noise, SMALL_SPEC), gain_db, atol=1e-3)


def test_a_click_affects_only_the_frames_around_it() -> None:
    click = silence(0.4)
    click[0, 1600] = 1
    power = stft_power(click, SMALL_SPEC)[0].sum(axis=1)  # (T,)
    assert set(np.flatnonzero(power > 1e-6)) == {15, 16, 17}  # centered within 128 samples of 1600


def test_the_power_of_a_full_scale_sine_is_that_of_its_hann_window() -> None:
    power = stft_power(tone(1000, 0.4, amplitude=1.0), SMALL_SPEC)[0, 16]  # 1000 Hz is bin 32 exactly
    assert power.argmax() == 32
    assert power[32] == pytest.approx((256 / 4) ** 2, rel=1e-4)  # a sine's half, of a window whose mean is a half


def test_the_window_is_periodic() -> None:
    window = hann_window(256)
    assert window[0] == 0
    assert window[128] == 1
    np.testing.assert_allclose(window[1:], window[:0:-1], atol=2e-7)
    np.testing.assert_allclose(window[:128] + window[128:], 1, atol=2e-7)


@pytest.mark.parametrize("spec", SPECS)
def test_every_filter_is_a_triangle_inside_the_range(spec: FeatureSpec) -> None:
    weights = mel_filterbank(spec)
    assert weights.shape == (129, 16)
    assert (weights >= 0).all()
    for column in weights.T:
        inside = np.flatnonzero(column)
        assert (np.diff(inside) == 1).all()
        assert (np.diff(np.sign(np.diff(column[inside]))) <= 0).all()  # rises, then falls


def test_filters_without_norm_sum_to_one_between_the_first_and_the_last_peak() -> None:
    weights = mel_filterbank(SMALL_SPEC).sum(axis=1)
    np.testing.assert_allclose(weights[4:108], 1, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("scale", ["htk", "slaney"])
@given(hz=st.floats(0, 24000))
def test_mels_and_hertz_are_inverses(scale: str, hz: float) -> None:
    back = mel_to_hz(np.array([hz_to_mel(hz, scale)], np.float32), scale)
    assert back.dtype == np.float32
    assert back[0] == pytest.approx(hz, rel=1e-5, abs=1e-3)


def test_the_scales_meet_their_landmarks() -> None:
    assert hz_to_mel(1000, "htk") == pytest.approx(1000, abs=0.02)
    assert hz_to_mel(1000, "slaney") == pytest.approx(15)
    assert hz_to_mel(6400, "slaney") == pytest.approx(15 + 27)
