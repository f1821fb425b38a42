"""File of one decoded clip: 16-bit samples with a scale.

Conventions: samples (C, S) int16; a sample is its number times `scale`, a power of two that fits the loudest one. So a
16-bit recording at its own rate is stored exactly, and the error elsewhere is at most half a step: 96 dB or more below
the peak of the clip. Frame after frame in the file, after a header of 32 bytes.
Does not: decode, or name files (`data/windows/cache.py`).
"""

from __future__ import annotations

import math
import struct
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Samples

HEADER_BYTES: Final = 32
_HEADER: Final = struct.Struct("<4sIQf12x")  # magic, channels, frames, scale
_MAGIC: Final = b"SWC3"
_STEPS: Final = 32_768
_CHUNK_VALUES: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class PcmClip:
    """Decoded clip, mapped from its file.

    Attributes:
        samples: Numbers (C, S).
        scale: Size of a step, in full scales.
    """

    samples: NDArray[np.int16]
    scale: float

    def to_float(self) -> Samples:
        """Return the samples (C, S) in full scales."""
        return np.asarray(self.samples * np.float32(self.scale), np.float32)


def read_pcm(file: Path) -> PcmClip:
    """Map a file that `write_pcm` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file is shorter than its header says, or of another kind.
    """
    with file.open("rb") as stream:
        header = stream.read(HEADER_BYTES)
    if len(header) < HEADER_BYTES or header[:4] != _MAGIC:
        raise ValueError(f"{file} is no file of a decoded clip")
    _, channels, frames, scale = _HEADER.unpack(header)
    samples = np.memmap(file, np.int16, "r", HEADER_BYTES, (frames, channels)).T
    return PcmClip(samples, scale)


def write_pcm(file: Path, blocks: Iterable[Samples]) -> None:
    """Write blocks (C, S); at most one block and one chunk are in memory. Without any sample, one zero is written."""
    channels, frames, lowest, highest = 1, 0, 0.0, 0.0
    with tempfile.TemporaryFile(dir=file.parent) as floats, file.open("wb") as stream:
        for block in blocks:
            channels = block.shape[0]
            frames += block.shape[1]
            if block.size:
                lowest, highest = min(lowest, float(block.min())), max(highest, float(block.max()))
            floats.write(np.ascontiguousarray(block.T, np.float32).data)
        scale = _scale(lowest, highest)
        stream.write(_HEADER.pack(_MAGIC, channels, max(1, frames), scale))
        floats.seek(0)
        while chunk := floats.read(4 * _CHUNK_VALUES):
            stream.write(np.rint(np.frombuffer(chunk, np.float32) / np.float32(scale)).astype(np.int16).data)
        if not frames:  # of one sample nothing is left at a lower rate
            stream.write(bytes(2 * channels))


def _scale(lowest: float, highest: float) -> float:
    """Return the smallest power of two, divided by 32,768, that holds both values."""
    largest = max(-lowest, highest * _STEPS / (_STEPS - 1))
    exponent = math.ceil(math.log2(largest)) if largest > 0 else 0
    return math.ldexp(1 / _STEPS, max(-100, exponent))
