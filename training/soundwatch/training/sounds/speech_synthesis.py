"""Synthetic speech from espeak-ng, as negatives for training.

Conventions: 16-bit mono WAV at `RATE_HZ`, 4 to 8 s, in one folder each for single talkers, pairs that take
turns, and crowds; `data/datasets/negatives.py` reads them. All random numbers come from the seed: one version of
espeak-ng writes reproducible files.
Source: 52 of espeak-ng's voices, of 49 languages, with 48 of its variants; the text is numerals, which
every language reads in its own words, and invented words for Latin scripts. A room response is noise that
decays exponentially; distance is a low-pass with less direct sound.
Does not: share a language, a variant or a word with the babble of the evaluation (`sounds/babble.py`), so
the evaluation measures transfer and not memory; both share the synthesizer. No voice is as high as a
child's: playing children are a class.
"""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.new_folder import write_new_folder
from soundwatch.training.data.audio.read_audio import Mono, rms
from soundwatch.training.data.datasets.negatives import colored_noise

RATE_HZ: Final = 22_050  # rate of espeak-ng's voices
RECORDINGS: Final = 120
_LATIN: Final = """
    af az bs ca cs cy da de eo es es-419 et eu fi fr-fr fr-ch ga hr hu id is it la lt lv ms mt nb nl pl pt pt-br ro sk
    sl sq sv sw tr vi
"""
_OTHER: Final = "ar bg bn cmn el fa hi ka ko ru ta uk"
_MEN: Final = """
    m2 m4 m5 m6 m8 adam antonio benjamin boris caleb david Denis Diogo ed edward Gene Gene2 grandpa gustave Henrique
    Hugo Jacky john kaukovalta Lee marcelo Marco Mario max michel miguel Mike norbert pablo paul pedro quincy robert
"""
_WOMEN: Final = "f1 f3 aunty belinda grandma linda shelby steph steph2 steph3"
_TEXT: Final = """
    Baluma kerito sanova dilumek torani. Melito varuna pesik, olana gadu? Rusimo tevalin kora nubela. Fanodi lurek
    amiso, petula ganori! Zelano mirabu sotena. Kulavi denoro, hasume lipa. Nerolu bataki, vesuma? Odilan roseki mua.
"""
LATIN, OTHER, MEN, WOMEN, WORDS = (tuple(names.split()) for names in (_LATIN, _OTHER, _MEN, _WOMEN, _TEXT))
_KINDS: Final = ("talker", "pair", "crowd")
_KIND_SHARES: Final = (0.3, 0.2, 0.5)
_LENGTH_S: Final = (4.0, 8.0)


def write_speech(folder: Path, recordings: int, seed: int, console: Console) -> None:
    """Write the given number of recordings into a new or empty folder.

    Raises:
        DataError: espeak-ng is missing, or the folder is not empty.
        SinkError: The folder cannot be written. No part of it is left.
    """
    if shutil.which("espeak-ng") is None:
        raise DataError(
            "espeak-ng, which synthesizes the recordings, is not installed. Install it (on Debian: "
            "apt install espeak-ng), and repeat the command."
        )
    write_new_folder(folder, lambda part: _write(part, recordings, seed, console), soundfile.LibsndfileError)


def _write(folder: Path, recordings: int, seed: int, console: Console) -> None:
    for kind in _KINDS:
        (folder / kind).mkdir(parents=True)
    children = np.random.default_rng(seed).spawn(recordings)
    for number, rng in enumerate(track(children, "Synthesizing speech", console=console)):
        kind = str(rng.choice(_KINDS, p=_KIND_SHARES))
        soundfile.write(folder / kind / f"{kind}{number:04d}.wav", recording(rng, kind), RATE_HZ, "PCM_16")


def recording(rng: np.random.Generator, kind: str) -> Mono:
    """Generate a `talker`, a `pair` that takes turns, or a `crowd`, in a room with a little noise (S,)."""
    length_samples = round(rng.uniform(*_LENGTH_S) * RATE_HZ)
    rt60_s = rng.uniform(0.2, 1.2)
    distance = rng.uniform(0, 1)
    if kind == "pair":
        turns = [_in_room(rng, _utterance(rng), rt60_s, distance) for _ in range(2)]
        cut = round(rng.uniform(0.3, 0.7) * length_samples)
        sound = np.concatenate([np.resize(turns[0], cut), np.resize(turns[1], length_samples - cut)])
    else:
        sound = np.zeros(length_samples, np.float32)
        for _ in range(rng.integers(3, 11) if kind == "crowd" else 1):
            away = np.clip(distance + rng.uniform(-0.4, 0.4), 0, 1) if kind == "crowd" else distance
            reverberant = np.resize(_in_room(rng, _utterance(rng), rt60_s, away), length_samples)
            sound += np.roll(reverberant, rng.integers(length_samples)) * _gain(rng.uniform(-12, 0))
    sound = sound / max(rms(sound), 1e-9)
    sound = sound + colored_noise(rng, length_samples)[0] * _gain(rng.uniform(-60, -15))
    return np.asarray(sound / np.abs(sound).max() * _gain(rng.uniform(-24, -1)), np.float32)


def _utterance(rng: np.random.Generator) -> Mono:
    """Synthesize an utterance (S,) with a root mean square of 1."""
    language = str(rng.choice(LATIN + OTHER))
    variant = str(rng.choice(MEN if rng.random() < 0.5 else WOMEN))
    words = [str(rng.integers(10 ** rng.integers(1, 5))) + rng.choice(["", ",", ".", "?"]) for _ in range(8)]
    if language in LATIN:
        words += rng.choice(WORDS, 12).tolist()
        rng.shuffle(words)
    rate, pitch = str(rng.integers(110, 220)), str(rng.integers(20, 56))
    command = ["espeak-ng", "--stdout", "-v", f"{language}+{variant}", "-s", rate, "-p", pitch, " ".join(words)]
    done = subprocess.run(command, capture_output=True, check=False)  # noqa: S603  # no external input
    if done.returncode:
        reason = " ".join(done.stderr.decode(errors="replace").split()[-40:]) or "without a message"
        raise DataError(
            f"espeak-ng ended with code {done.returncode} for the voice {language}+{variant}: {reason}. All its voices "
            "and room for temporary files were expected; install it again, or make room."
        )
    spoken: Mono = soundfile.read(io.BytesIO(done.stdout), dtype="float32")[0]
    return spoken / np.float32(rms(spoken))


def _in_room(rng: np.random.Generator, sound: Mono, rt60_s: float, distance: float) -> Mono:
    """Add a room response for a distance of 0 to 1 and a reverberation time (S,), with a root mean square of 1."""
    decay_s = np.arange(round(rt60_s * RATE_HZ)) / RATE_HZ
    response = rng.standard_normal(decay_s.size) * 10 ** (-3 * decay_s / rt60_s)
    response *= distance / np.sqrt(np.sum(response**2))
    response[0] += 1 - 0.9 * distance
    length = 1 << (sound.size + response.size).bit_length()  # a power of two, since a prime takes five times as long
    spectrum = np.fft.rfft(sound, length) * np.fft.rfft(response, length)
    cutoff_hz = 10_000 * 0.15**distance
    spectrum /= np.sqrt(1 + (np.fft.rfftfreq(length, 1 / RATE_HZ) / cutoff_hz) ** 4)
    reverberant = np.fft.irfft(spectrum, length)[: sound.size].astype(np.float32)
    return reverberant / np.float32(rms(reverberant))


def _gain(level_db: float) -> np.float32:
    return np.float32(10 ** (level_db / 20))
