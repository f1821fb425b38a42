"""Babble noise: several voices of espeak-ng at once.

Conventions: a voice is (S,) float32 at `RATE_HZ`. One version of espeak-ng gives reproducible samples.
Source: espeak-ng's English voices with its male, female, whisper and croak variants; the text is our own.
Does not: simulate playing children or a room; no reverberation is added.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from functools import lru_cache
from typing import Final

import numpy as np
import soundfile
import soxr

from soundwatch.training.data.audio.read_audio import RATE_HZ, Mono, rms

TALKERS: Final = 6
_VOICES: Final = (
    ("en-gb+m1", 150, 40),
    ("en-us+f2", 165, 60),
    ("en-gb+m3", 140, 30),
    ("en-us+f4", 175, 55),
    ("en-gb+m7", 160, 45),
    ("en-us+f5", 155, 65),
    ("en-gb+croak", 145, 35),
    ("en-us+whisper", 150, 50),
)  # voice, words a minute, pitch 0 to 99
_TEXT: Final = (
    "I told her the train would be late again, and it was, by twenty minutes. "
    "Have you seen the new shop on the corner? They sell bread, and lamps, and old radios. "
    "No, not this week. Perhaps on Sunday, if the weather holds and the car starts. "
    "He says it is too expensive, but then he says that about everything, does he not? "
    "Two coffees, please, one with milk. And something sweet for the little one. "
    "We walked along the river until it got dark, and then we could not find the bridge."
)


def unavailable_reason() -> str | None:
    """Return the reason if babble is not available, else None."""
    if shutil.which("espeak-ng") is None:
        return "babble: espeak-ng is not installed (Debian package espeak-ng)"
    return None


@lru_cache(maxsize=1)
def voices() -> tuple[Mono, ...]:
    """Synthesize one text with several voices, each with a root mean square of 1."""
    return tuple(_speak(*voice) for voice in _VOICES)


def babble(rng: np.random.Generator, length_samples: int) -> Mono:
    """Mix `TALKERS` of the voices (S,), each from a random position in its text."""
    chosen = rng.choice(len(_VOICES), TALKERS, replace=False)
    sound = np.zeros(length_samples, np.float32)
    for place in chosen:
        voice = voices()[place]
        first = rng.integers(voice.size)
        sound += np.resize(np.roll(voice, -first), length_samples)
    return sound


def _speak(voice: str, words_per_minute: int, pitch: int) -> Mono:
    command = ["espeak-ng", "--stdout", "-v", voice, "-s", str(words_per_minute), "-p", str(pitch), _TEXT]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603  # no external input
    samples, rate_hz = soundfile.read(io.BytesIO(done.stdout), dtype="float32")
    spoken: Mono = soxr.resample(samples, rate_hz, RATE_HZ, quality="HQ")
    return (spoken / rms(spoken)).astype(np.float32)
