"""Speech from espeak-ng: recordings for training, of voices that no test uses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.cli.data import data as data_command
from soundwatch.training.data.audio.read_audio import Mono
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.sounds import babble, speech_synthesis

needs_espeak = pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng is not installed")


def _speak(folder: Path, *options: str) -> Result:
    return CliRunner().invoke(data_command, ["speech", str(folder), *options])


@needs_espeak
def test_recordings_of_speech_are_read_as_negatives(tmp_path: Path) -> None:
    done = _speak(tmp_path / "talk", "--recordings", "9")
    assert done.exception is None, done.exception
    assert done.stdout.startswith("9 recordings in ")
    other = tmp_path / "other" / "rain.wav"
    other.parent.mkdir()
    soundfile.write(other, np.zeros(100), 8000)
    learned, held_out = split_negatives(tmp_path / "talk", tmp_path / "other")
    paths = [clip.path for clip in (*learned, *held_out)]
    assert len(paths) == 10
    for path in set(paths) - {other}:
        facts = soundfile.info(path)
        assert (facts.samplerate, facts.channels, facts.subtype) == (speech_synthesis.RATE_HZ, 1, "PCM_16")
        assert 4 <= facts.duration <= 8
        assert 0.05 < np.abs(soundfile.read(path)[0]).max() < 1


@needs_espeak
def test_equal_seeds_give_equal_speech(tmp_path: Path) -> None:
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert _speak(tmp_path / name, "--recordings", "3", "--seed", seed).exit_code == 0
    first, again, other = (
        [path.read_bytes() for path in sorted((tmp_path / name).rglob("*.wav"))] for name in ("a", "b", "c")
    )
    assert first == again
    assert first != other


def test_no_language_variant_or_word_is_shared_with_the_babble_of_the_trials() -> None:
    trial_languages, trial_variants = zip(*(voice.split("+") for voice, *_ in babble._VOICES), strict=True)
    assert {language.split("-")[0] for language in trial_languages} == {"en"}
    assert not [
        language for language in speech_synthesis.LATIN + speech_synthesis.OTHER if language.split("-")[0] == "en"
    ]
    assert not set(trial_variants) & set(speech_synthesis.MEN + speech_synthesis.WOMEN)
    trial_words = set(re.findall(r"[a-z]+", babble._TEXT.lower()))
    assert not trial_words & set(re.findall(r"[a-z]+", " ".join(speech_synthesis.WORDS).lower()))
    assert not re.search(r"\d", babble._TEXT)


@needs_espeak
def test_espeak_ng_has_every_language_and_variant() -> None:
    voices = [f"{language}+m2" for language in speech_synthesis.LATIN + speech_synthesis.OTHER]
    for voice in voices + [f"de+{variant}" for variant in speech_synthesis.MEN + speech_synthesis.WOMEN]:
        said = subprocess.run(["espeak-ng", "-q", "-v", voice, "1"], capture_output=True, check=True, text=True)
        assert not said.stderr, voice


@needs_espeak
def test_distance_takes_highs_away_and_the_room_rings_on() -> None:
    click = np.zeros(speech_synthesis.RATE_HZ, np.float32)
    click[0] = 1
    near = speech_synthesis._in_room(np.random.default_rng(1), click, 0.8, 0.0)
    far = speech_synthesis._in_room(np.random.default_rng(1), click, 0.8, 1.0)
    late = speech_synthesis.RATE_HZ // 5
    assert np.square(near[late:]).sum() < 0.01 * np.square(near).sum()
    assert np.square(far[late:]).sum() > 0.02 * np.square(far).sum()
    assert _share_above(4000, far) < 0.2 * _share_above(4000, near)


def _share_above(frequency_hz: int, sound: Mono) -> float:
    power = np.abs(np.fft.rfft(sound)) ** 2
    return float(power[np.fft.rfftfreq(sound.size, 1 / speech_synthesis.RATE_HZ) > frequency_hz].sum() / power.sum())


def test_without_espeak_ng_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    done = _speak(tmp_path / "talk")
    assert isinstance(done.exception, DataError)
    assert "apt install espeak-ng" in str(done.exception)
    assert not (tmp_path / "talk").exists()


@pytest.mark.skipif(os.name != "posix", reason="the program is a script of a shell")
def test_a_voice_that_is_missing_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "bin" / "espeak-ng"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'Error: voice does not exist' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    done = _speak(tmp_path / "talk")
    assert isinstance(done.exception, DataError)
    assert re.search(r"ended with code 1 for the voice \w+\S+: Error: voice does not exist\.", str(done.exception))
    assert not (tmp_path / "talk").exists()


@needs_espeak
def test_a_folder_that_holds_something_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").write_bytes(b"")
    done = _speak(tmp_path)
    assert isinstance(done.exception, DataError)
    assert "is not empty" in str(done.exception)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.wav"]
