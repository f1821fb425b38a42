"""Bytes of sound files with chunks, sizes and fields that a test chooses."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.recordings.recording import Recording

RATE_HZ = 8_000
SOUND: NDArray[np.int16] = (3_000 * np.random.default_rng(1).standard_normal(RATE_HZ * 3)).astype(np.int16)
DATA = SOUND.tobytes()
FORM = struct.pack("<HHIIHH", 1, 1, RATE_HZ, 2 * RATE_HZ, 2, 16)
SECOND_BYTES = 2 * RATE_HZ


def chunk(name: bytes, content: bytes, size: int | None = None, pad: bool = True) -> bytes:
    declared = len(content) if size is None else size
    return name + struct.pack("<I", declared) + content + b"\0" * (pad and len(content) % 2)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return b"RIFF" + struct.pack("<I", len(body) if size is None else size) + body


PLAIN = riff(chunk(b"fmt ", FORM), chunk(b"data", DATA))


def read(path: Path) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Read all samples (C, S) of a recording without an error, and its notes."""
    recording = Recording("file", path, "fast", 0)
    return np.concatenate([block.samples for block in recording.blocks()], axis=1), tuple(recording.findings().values())


def encoded(path: Path, **options: str) -> bytearray:
    soundfile.write(path, SOUND, RATE_HZ, **options)
    return bytearray(path.read_bytes())


def patched(content: bytearray, after: bytes, offset: int, value: bytes) -> bytes:
    place = content.index(after) + offset
    content[place : place + len(value)] = value
    return bytes(content)
