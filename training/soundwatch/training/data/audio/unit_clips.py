"""Clips for mixing: mono at one rate, with a root mean square of 1, so a level in decibels is a gain.

Conventions: (S,) float32 at `RATE_HZ`.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Final

import numpy as np

from soundwatch.daemon.core.records.block import read_only
from soundwatch.training.data.audio.read_audio import Mono, read_mono, rms

RATE_HZ: Final = 22_050


@lru_cache(maxsize=4096)  # 0.5 MB a clip of 6 s; a scene uses some hundred of them several times
def read_unit(path: Path) -> Mono:
    """Read a recording (S,) at `RATE_HZ`, with a root mean square of 1, as far as it can be read.

    Raises:
        DataError: The file cannot be read.
    """
    mono = read_mono(path, RATE_HZ)
    return read_only(np.asarray(mono / max(rms(mono), 1e-9), np.float32))
