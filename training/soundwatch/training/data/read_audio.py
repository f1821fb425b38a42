"""Read a recording as mono float32 at one rate."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.core.errors import DataError, SourceError
from soundwatch.daemon.core.types import Samples

RATE_HZ = 44_100


Mono = NDArray[np.float32]


def read_recording(path: Path) -> tuple[Samples, int]:
    """Decode a recording as the daemon does, and return its samples (C, S) and their rate.

    Raises:
        DataError: The file cannot be read to its end.
    """
    try:
        source = Recording(path.stem, path, "fast", 0)
        return np.concatenate([block.samples for block in source.blocks()], axis=1), source.info.rate_hz
    except SourceError as error:
        raise DataError(str(error)) from error


def read_mono(path: Path) -> Mono:
    """Read a recording (S,) at `RATE_HZ`, averaged over its channels.

    Raises:
        DataError: The file cannot be read to its end.
    """
    samples, rate_hz = read_recording(path)
    mono: Mono = soxr.resample(samples.mean(axis=0), rate_hz, RATE_HZ, quality="HQ")
    return mono.astype(np.float32)


def rms(sound: Mono) -> float:
    """Compute the root mean square; 0 for an empty signal."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if sound.size else 0.0
