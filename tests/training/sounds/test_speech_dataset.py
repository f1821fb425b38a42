"""The folder that a speech guard learns from."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from soundwatch.daemon.core.errors import DataError
from soundwatch.training.data.audio.read_audio import Mono
from soundwatch.training.data.datasets.class_folders import split_folders
from soundwatch.training.distillation.teacher import RATE_HZ
from soundwatch.training.sounds.speech_dataset import LENGTH_S, write_speech_dataset
from support.fakes import tone

pytestmark = pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng is not installed")


class Ear:
    """Teacher that finds speech in loud sounds, none in quiet ones, and is uncertain in between."""

    def speech_score(self, sound: Mono) -> float:
        peak = float(np.abs(sound).max())
        return 0.9 if peak > 0.6 else 0.3 if peak > 0.3 else 0.01


def write(folder: Path, *amplitudes: float) -> list[Path]:
    folder.mkdir()
    paths = [folder / f"{number}.wav" for number in range(len(amplitudes))]
    for path, amplitude in zip(paths, amplitudes, strict=True):
        soundfile.write(path, tone(500, 2.0, 44_100, amplitude).T, 44_100)
    return paths


def make(folder: Path, clips: list[Path], talks: int = 4, seed: int = 1) -> None:
    ear: Any = Ear()
    write_speech_dataset(folder, clips, ear, talks, seed, Console(quiet=True))


def test_real_clips_are_sorted_by_content_and_speech_is_synthesized(tmp_path: Path) -> None:
    make(tmp_path / "talk", write(tmp_path / "clips", 0.8, 0.4, 0.1, 0.2))
    names = {path.relative_to(tmp_path / "talk").as_posix() for path in (tmp_path / "talk").rglob("*.wav")}
    assert names == {
        "speech/real00000.wav",
        "other/real00002.wav",
        "other/real00003.wav",
        *(f"speech/spoken0000{number}.wav" for number in range(4)),
    }
    for path in (tmp_path / "talk/speech").glob("spoken*"):
        sound, rate_hz = soundfile.read(path)
        assert (rate_hz, len(sound)) == (RATE_HZ, round(LENGTH_S * RATE_HZ))
        assert 0 < np.abs(sound).max() < 1


def test_equal_seeds_give_equal_recordings(tmp_path: Path) -> None:
    clips = write(tmp_path / "clips", 0.1)
    for name in ("one", "two"):
        make(tmp_path / name, clips, talks=2)
    for path in (tmp_path / "one/speech").iterdir():
        assert path.read_bytes() == (tmp_path / "two/speech" / path.name).read_bytes()


def test_the_folder_is_valid_for_training_and_states_the_license(tmp_path: Path) -> None:
    make(tmp_path / "talk", write(tmp_path / "clips", 0.1, 0.8))
    split = split_folders(tmp_path / "talk", None, 0)
    assert split.labels == ("other", "speech")
    assert split.ignored == 0
    assert split.terms is not None
    assert "CC BY-NC 3.0" in split.terms


def test_clips_that_all_hold_speech_and_a_folder_in_use_are_refused(tmp_path: Path) -> None:
    clips = write(tmp_path / "clips", 0.8)
    with pytest.raises(DataError, match="There is speech in every clip"):
        make(tmp_path / "talk", clips)
    assert not (tmp_path / "talk").exists()
    (tmp_path / "talk").mkdir()
    (tmp_path / "talk" / "notes").write_text("")
    with pytest.raises(DataError, match="talk is not empty"):
        make(tmp_path / "talk", clips)
