"""Properties of an audio file, measured over all its samples.

Conventions: levels are dBFS, full scale 1.0; digital silence is minus infinity inside, null in JSON. A sample is
clipped from 0.999 of full scale on. Two files have one content if they decode to equal samples at equal rates; names
and lossless encodings may differ.
Does not: assess (`data/check.py`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from soundwatch.daemon.capture.audio_quality import LevelStats

CLIPPED_FROM: Final = 0.999
_BLOCK_FRAMES: Final = 1 << 18


@dataclass(frozen=True, slots=True)
class SoundFacts:
    """Properties of a readable file.

    Attributes:
        rate_hz: Sampling rate.
        channels: Number of channels.
        encoding: Container and sample format, e.g. "WAV PCM_16".
        duration_s: Length.
        finite: False if a sample is NaN or infinite.
        peak_dbfs: Level of the largest sample.
        clipped_share: Share of clipped samples.
        opposite_channels: True if the channels cancel in their mean.
        content: Hash of all samples and the rate.
    """

    rate_hz: int
    channels: int
    encoding: str
    duration_s: float
    finite: bool
    peak_dbfs: float
    clipped_share: float
    opposite_channels: bool
    content: str


def measure_sound(path: Path) -> SoundFacts | str:
    """Measure a file, or return the reason if it cannot be decoded."""
    try:
        with soundfile.SoundFile(path) as file:
            return _measure(file)
    except (OSError, soundfile.SoundFileError) as error:
        return str(error)


def _measure(file: soundfile.SoundFile) -> SoundFacts:
    digest = hashlib.sha256(f"{file.samplerate} {file.channels}".encode())
    frames, clipped, peak, finite, stats = 0, 0, 0.0, True, None
    for block in file.blocks(_BLOCK_FRAMES, dtype="float32", always_2d=True):  # (S, C)
        sizes = np.abs(block)
        finite = finite and bool(np.isfinite(sizes).all())
        frames += len(block)
        clipped += int(np.sum(sizes >= CLIPPED_FROM))
        peak = max(peak, float(sizes.max(initial=0.0)))
        if file.channels > 1 and finite:
            part = LevelStats.of(block.T)
            stats = part if stats is None else stats + part
        digest.update(block.tobytes())
    return SoundFacts(
        rate_hz=file.samplerate,
        channels=file.channels,
        encoding=f"{file.format} {file.subtype}",
        duration_s=frames / file.samplerate,
        finite=finite,
        peak_dbfs=20 * math.log10(peak) if peak else -math.inf,
        clipped_share=clipped / max(1, frames * file.channels),
        opposite_channels=stats is not None and stats.opposite_channels,
        content=digest.hexdigest(),
    )
