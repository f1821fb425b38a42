"""Ambience is endless, at a known level, and the same for the same seed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.training.data.audio.read_audio import RATE_HZ, Mono, rms
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import Clip
from soundwatch.training.sounds.ambience import FADE_SAMPLES, Ambience, ambiences, mains_hum, pink_noise, round_robin
from soundwatch.training.sounds.babble import TALKERS, babble, voices


@pytest.fixture
def recorded_rain(tmp_path: Path) -> list[Clip]:
    """Two recordings of rain, one at another rate, between stretches of silence."""
    folder = tmp_path / "negatives" / "Rain"
    folder.mkdir(parents=True)
    rng = np.random.default_rng(3)
    for name, rate_hz in (("a.wav", 44_100), ("b.wav", 22_050)):
        sound = 0.1 * rng.standard_normal(3 * rate_hz)
        soundfile.write(folder / name, np.pad(sound, rate_hz), rate_hz)
    learned, held_out = split_negatives(tmp_path / "negatives")
    return [*learned, *held_out]


@pytest.mark.parametrize("kind", ["pink noise", "brown noise", "hum 50 Hz", "hum 60 Hz", "rain"])
def test_every_kind_has_its_level(kind: str, recorded_rain: list[Clip]) -> None:
    ambience = ambiences(recorded_rain, 1)[0][kind]
    for _ in range(3):  # through fades
        assert rms(ambience.take(20 * RATE_HZ)) == pytest.approx(1, abs=0.1)


def test_digital_silence_is_zero() -> None:
    assert not ambiences([], 1)[0]["digital silence"].take(3 * RATE_HZ).any()


def test_the_same_seed_gives_the_same_sound_however_it_is_taken(recorded_rain: list[Clip]) -> None:
    def first_minute(pieces: int, seed: int) -> Mono:
        ambience = ambiences(recorded_rain, seed)[0]["rain"]
        return np.concatenate([ambience.take(60 * RATE_HZ // pieces) for _ in range(pieces)])

    np.testing.assert_array_equal(first_minute(1, 1), first_minute(7 * 100, 1))
    assert not np.array_equal(first_minute(1, 1), first_minute(1, 2))


def test_no_click_is_between_two_excerpts() -> None:
    level = np.ones(4 * FADE_SAMPLES, np.float32)
    sound = Ambience(iter([level, level, level, level])).take(8 * FADE_SAMPLES)
    assert np.abs(np.diff(sound)).max() < 1e-3


def test_unavailable_parts_are_reported(monkeypatch: pytest.MonkeyPatch, recorded_rain: list[Clip]) -> None:
    monkeypatch.setenv("PATH", "")
    kinds, skipped = ambiences(recorded_rain, 1)
    assert "rain" in kinds
    assert "babble" not in kinds
    assert skipped == (
        "babble: espeak-ng is not installed (Debian package espeak-ng)",
        "sea: no held-out recording in a folder of that name among the negatives",
        "fire: no held-out recording in a folder of that name among the negatives",
        "clock: no held-out recording in a folder of that name among the negatives",
    )


def test_without_babble_the_other_kinds_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    before = ambiences([], 1)[0]["brown noise"].take(RATE_HZ)
    monkeypatch.setenv("PATH", "")
    np.testing.assert_array_equal(ambiences([], 1)[0]["brown noise"].take(RATE_HZ), before)


def test_pink_noise_has_as_much_power_in_every_octave() -> None:
    power = np.square(np.abs(np.fft.rfft(pink_noise(np.random.default_rng(1), 20 * RATE_HZ))))
    octaves_hz = [100 * 2**octave for octave in range(7)]
    sums = [power[20 * low : 40 * low].sum() for low in octaves_hz]
    assert max(sums) / min(sums) < 1.2
    assert power[: 20 * 20].sum() < 1e-6 * power.sum()


def test_hum_is_the_mains_and_its_harmonics() -> None:
    power = np.square(np.abs(np.fft.rfft(mains_hum(60))))
    assert power[60:721:60].sum() == pytest.approx(power.sum())
    assert power[60] == pytest.approx(4 * power[120], rel=1e-3)


def test_ambiences_alternate() -> None:
    low, high = (Ambience(iter([np.full(60 * RATE_HZ, value, np.float32)] * 3)) for value in (1, 2))
    sound = round_robin([low, high], 10 * RATE_HZ).take(20 * RATE_HZ)
    assert sound[5 * RATE_HZ] == 1
    assert sound[15 * RATE_HZ] == 2


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="nobody to talk: espeak-ng is not installed")
def test_babble_is_several_people_talking() -> None:
    assert all(voice.size > 10 * RATE_HZ and rms(voice) == pytest.approx(1, abs=1e-3) for voice in voices())
    sound = babble(np.random.default_rng(1), 10 * RATE_HZ)
    assert rms(sound) == pytest.approx(np.sqrt(TALKERS), rel=0.2)
    np.testing.assert_array_equal(sound, babble(np.random.default_rng(1), 10 * RATE_HZ))
