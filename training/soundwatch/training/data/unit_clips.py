"""Clips for mixing: mono at one rate, with a root mean square of 1, so a level in decibels is a gain.

Conventions: (S,) float32 at `RATE_HZ`. A truncated file is used as far as it can be read.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
import soxr

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.types import read_only
from soundwatch.training.data.read_audio import Mono, rms

RATE_HZ: Final = 22_050


@lru_cache(maxsize=4096)  # 0.5 MB a clip of 6 s; a scene uses some hundred of them several times
def read_unit(path: Path) -> Mono:
    """Read a recording (S,) at `RATE_HZ`, with a root mean square of 1, as far as it can be read.

    Raises:
        DataError: The file cannot be read.
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except soundfile.SoundFileError as error:
        raise DataError(f"{path} cannot be read: {error}. Copy the file again.") from error
    mono: Mono = samples.mean(axis=1, dtype=np.float32)
    if rate_hz != RATE_HZ:
        mono = soxr.resample(mono, rate_hz, RATE_HZ, quality="HQ").astype(np.float32)
    return read_only(np.asarray(mono / max(rms(mono), 1e-9), np.float32))
