"""WAV files of tests, written without a wait for the disk.

`soundfile.write` to a path synchronizes the file with the disk, which takes milliseconds; tests write thousands.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray


def wav_bytes(samples: NDArray[np.float64], rate_hz: int) -> bytes:
    """Return samples (S,) or (S, C) as a WAV file of 16 bits."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format="WAV")
    return file.getvalue()


def write_wav(path: Path, samples: NDArray[np.float64], rate_hz: int) -> None:
    """Write samples (S,) or (S, C) as a WAV file of 16 bits."""
    path.write_bytes(wav_bytes(samples, rate_hz))
