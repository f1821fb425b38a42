"""Sounds of none of the classes: recordings from a folder, and synthetic noise.

Conventions: a hash of the original recording decides if a file is held out from training, so every run
holds out the same files. Synthetic sounds are (1, S) float32.
Source: the takes of one ESC-50 source clip share the number between the first two dashes.
Does not: define a false alarm (`fit/scores/thresholds.py`).
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.capture.recordings.files import files_under
from soundwatch.daemon.capture.recordings.recording import RECORDING_SUFFIXES
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.datasets.urbansound8k import Clip

_HELD_OUT_ONE_IN: Final = 4


def split_negatives(*folders: Path) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Split the recordings of the folders into training and held-out recordings.

    Raises:
        DataError: A folder does not exist or has no recordings.
    """
    clips = [clip for folder in folders for clip in _recordings(folder)]
    held_out = tuple(clip for clip in clips if _is_held_out(clip.recording))
    return tuple(clip for clip in clips if not _is_held_out(clip.recording)), held_out


def is_synthetic(clip: Clip) -> bool:
    """Return True for a sound of the folders of synthetic sounds."""
    return clip.path.parent.parent.name.startswith("synthetic-")


def _recordings(folder: Path) -> list[Clip]:
    paths = files_under(folder).with_suffix(RECORDING_SUFFIXES)
    if not paths:
        raise DataError(
            f"No recordings under {folder}; a folder of WAV, FLAC, Ogg, MP3, M4A or other files of sounds that are "
            "none of the classes was expected."
        )
    return [Clip(path, 0, None, _recording(path)) for path in paths]


def _recording(path: Path) -> str:
    """Return the original recording of a file: Freesound's 17367 for `1-17367-A.ogg`, else the file itself."""
    parts = path.stem.split("-")
    return parts[1] if len(parts) >= 3 and parts[1].isdigit() else f"{path.parent.name}/{path.stem}"


def _is_held_out(recording: str) -> bool:
    return hashlib.sha256(recording.encode()).digest()[0] % _HELD_OUT_ONE_IN == 0


def colored_noise(rng: np.random.Generator, length_samples: int) -> Samples:
    """Generate noise (1, S) of unit deviation whose power has a random slope of -2 to 0.5 over frequency."""
    spectrum = np.fft.rfft(rng.standard_normal(length_samples).astype(np.float32))
    slope = rng.uniform(-2.0, 0.5)
    frequencies = np.arange(1, spectrum.size + 1, dtype=np.float32)
    noise = np.fft.irfft(spectrum * frequencies ** np.float32(slope / 2), n=length_samples).astype(np.float32)
    return np.asarray(noise / (noise.std() + 1e-9), np.float32)[None, :]


def synthetic_negative(rng: np.random.Generator, rate_hz: int, length_samples: int) -> Samples:
    """Generate silence, noise or mains hum (1, S), at a level from inaudible to loud."""
    kind = rng.choice(["silence", "noise", "hum"], p=[0.1, 0.6, 0.3])
    if kind == "silence":
        return np.zeros((1, length_samples), np.float32)
    level = np.float32(10 ** (rng.uniform(-80, -15) / 20))
    sound = colored_noise(rng, length_samples)
    if kind == "hum":
        sound = sound * np.float32(10 ** (rng.uniform(-40, -10) / 20)) + _hum(rng, rate_hz, length_samples)
    return np.asarray(sound * level, np.float32)


def _hum(rng: np.random.Generator, rate_hz: int, length_samples: int) -> Samples:
    """Generate harmonics of 50 or 60 Hz with random phases and falling levels (1, S)."""
    phase = 2 * np.pi * rng.choice([50.0, 60.0]) * np.arange(length_samples) / rate_hz
    hum = np.zeros(length_samples)
    for harmonic in range(1, 9):
        hum += rng.uniform(0, 1) / harmonic * np.sin(harmonic * phase + rng.uniform(0, 2 * np.pi))
    return hum.astype(np.float32)[None, :]
