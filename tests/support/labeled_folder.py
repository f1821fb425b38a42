"""Labeled recordings for tests: a folder for each class, each recording a tone of the class's frequency in noise."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np

from support.wav_files import write_wav

CLASSES = ("bell", "door", "kettle")
RATE_HZ = 8000


def write_sound(path: Path, pitch_hz: float = 1000.0, duration_s: float = 0.5) -> Path:
    """A tone that no other path's sound equals."""
    path.parent.mkdir(parents=True, exist_ok=True)
    time_s = np.arange(round(duration_s * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(zlib.crc32(path.name.encode() + path.parent.name.encode())).normal(
        0, 0.01, time_s.size
    )
    write_wav(path, 0.3 * np.sin(2 * np.pi * pitch_hz * time_s) + noise, RATE_HZ)
    return path


def write_classes(root: Path, recordings: int = 5, classes: tuple[str, ...] = CLASSES) -> Path:
    """A folder a class, each of so many recordings of two files."""
    for place, label in enumerate(classes):
        for number in range(recordings):
            for part in (1, 2):
                write_sound(root / label / f"{label}{number}-{part}.wav", 400.0 + 900.0 * place)
    return root
