"""Data set of speech and other sounds, for the speech guard of clips.

Conventions: 16-bit mono WAV at `RATE_HZ`, `LENGTH_S` long, in a folder `speech` and a folder `other`, as
`train --layout folders` takes them. All draws come from the seed.
Rule: a real clip is `speech` if YAMNet's speech score reaches `SPEECH_MIN_SCORE` in one of its windows, `other` if it
stays at or below `OTHER_MAX_SCORE`, and left out in between. In addition there is speech from espeak-ng, alone and over
clips of `other`.
Source: `sounds/speech_synthesis.py` generates the speech; YAMNet's first six classes are speech, its thirteenth is
whispering.
Does not: contain real voices other than those in the given clips. `benchmarks/speech_guard.py` measures on others.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.new_folder import write_new_folder
from soundwatch.training.data.audio.read_audio import Mono, read_mono, rms
from soundwatch.training.data.datasets.class_folders import TERMS
from soundwatch.training.distillation.teacher import RATE_HZ, WINDOW_SAMPLES, open_interpreter, starts
from soundwatch.training.sounds.speech_synthesis import RATE_HZ as SPOKEN_RATE_HZ
from soundwatch.training.sounds.speech_synthesis import recording

LENGTH_S: Final = 4.0
SPEECH_MIN_SCORE: Final = 0.5
OTHER_MAX_SCORE: Final = 0.1
SPEECH_IDS: Final = (0, 1, 2, 3, 4, 5, 12)
_TERMS_TEXT: Final = (
    "weights from UrbanSound8K: CC BY-NC 3.0, non-commercial; from other sounds that were given, by their terms; "
    "recordings sorted by YAMNet, and speech by espeak-ng\n"
)
_ALONE_SHARE: Final = 0.3
_TALK_OVER_CLIP_DB: Final = (-3.0, 20.0)
_LEVEL_DBFS: Final = (-50.0, -12.0)


class SpeechDetector:
    """Speech detector based on YAMNet.

    Args:
        path: YAMNet's .tflite file.

    Raises:
        ConfigError: `ai-edge-litert` is not installed.
        ModelError: The file is not a TensorFlow Lite model.
    """

    def __init__(self, path: Path) -> None:
        self._interpreter = open_interpreter(path)
        self._input = self._interpreter.get_input_details()[0]["index"]
        self._output = self._interpreter.get_output_details()[0]["index"]

    def speech_score(self, sound: Mono) -> float:
        """Return the highest speech score in any window of a sound (S,) at `RATE_HZ`."""
        padded = np.pad(sound, (0, max(0, WINDOW_SAMPLES - sound.size)))
        padded = padded * np.float32(0.7 / max(float(np.abs(padded).max()), 1e-5))
        return max(self._window(padded[first : first + WINDOW_SAMPLES]) for first in starts(padded.size))

    def _window(self, samples: Mono) -> float:
        self._interpreter.set_tensor(self._input, samples.astype(np.float32, copy=False))
        self._interpreter.invoke()
        return float(self._interpreter.get_tensor(self._output).reshape(-1)[list(SPEECH_IDS)].max())


def write_speech_dataset(
    folder: Path, clips: Sequence[Path], detector: SpeechDetector, talks: int, seed: int, console: Console
) -> None:
    """Write real clips sorted by YAMNet, and the given number of speech recordings, most of them over real clips.

    Raises:
        DataError: A clip cannot be read, all of them hold speech, or the folder is not empty.
        SinkError: The folder cannot be written. No part of it is left.
    """
    write_new_folder(
        folder,
        lambda part: _write_sounds(part, clips, detector, talks, seed, console),
        soundfile.LibsndfileError,
    )


def _write_sounds(
    folder: Path, clips: Sequence[Path], detector: SpeechDetector, talks: int, seed: int, console: Console
) -> None:
    """Write the clips, then the speech over clips without speech."""
    others = list[Path]()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / TERMS).write_text(_TERMS_TEXT, encoding="utf-8")
    for kind in ("speech", "other"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for number, path in enumerate(track(clips, "Detecting speech", console=console)):
        sound = read_mono(path, RATE_HZ)
        score = detector.speech_score(sound)
        if score >= SPEECH_MIN_SCORE:
            _write(folder / "speech" / f"real{number:05d}.wav", sound)
        elif score <= OTHER_MAX_SCORE:
            others.append(folder / "other" / f"real{number:05d}.wav")
            _write(others[-1], sound)
    if not others:
        raise DataError(
            "There is speech in every clip; clips without speech were expected as background. Give other recordings."
        )
    children = np.random.default_rng(seed).spawn(talks)
    for number, rng in enumerate(track(children, "Synthesizing speech", console=console)):
        _write(folder / "speech" / f"spoken{number:05d}.wav", _speech(rng, others))


def _speech(rng: np.random.Generator, others: Sequence[Path]) -> Mono:
    """Generate speech (S,), alone or over a clip, at a random level."""
    kind = str(rng.choice(["talker", "pair", "crowd"], p=[0.6, 0.25, 0.15]))
    spoken = soxr.resample(recording(rng, kind), SPOKEN_RATE_HZ, RATE_HZ, quality="HQ").astype(np.float32)
    length = round(LENGTH_S * RATE_HZ)
    first = int(rng.integers(max(1, spoken.size - length)))
    spoken = np.resize(spoken[first : first + length], length)
    sound: Mono = np.asarray(spoken / max(rms(spoken), 1e-6), np.float32)
    if rng.random() > _ALONE_SHARE:
        other = np.resize(read_mono(others[int(rng.integers(len(others)))], RATE_HZ), length)
        over = other / max(rms(other), 1e-6) * _gain(-rng.uniform(*_TALK_OVER_CLIP_DB))
        sound = np.asarray(sound + over, np.float32)
    level = sound * (_gain(rng.uniform(*_LEVEL_DBFS)) / max(rms(sound), 1e-6))
    return np.asarray(level / max(1.0, float(np.abs(level).max()) / 0.99), np.float32)


def _write(path: Path, sound: Mono) -> None:
    soundfile.write(path, sound, RATE_HZ, "PCM_16")


def _gain(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))
