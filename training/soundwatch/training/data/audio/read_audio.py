"""Recordings as training reads them: with the daemon's own reader and resampler."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path

import numpy as np
import soxr
from numpy.typing import NDArray

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.capture.recordings.frame_reader import open_frames
from soundwatch.daemon.core.errors import DataError, SourceError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.daemon.frontend.resample import ResampleState, resample

RATE_HZ = 44_100


Mono = NDArray[np.float32]


def read_recording(path: Path) -> tuple[Samples, int]:
    """Decode a recording as the daemon does, and return its samples (C, S) and their rate.

    Raises:
        DataError: The file cannot be read to its end.
    """
    with _as_data_error():
        source = Recording(path.stem, path, "fast", 0)
        return np.concatenate([block.samples for block in source.blocks()], axis=1), source.info.rate_hz


def resampled_blocks(path: Path, spec: FeatureSpec, report: Callable[[str], None] | None = None) -> Iterator[Samples]:
    """Yield a recording (C, S) at the spec's rate, block by block; C is `spec.channels` or 1.

    Args:
        path: The recording.
        spec: Rate and channels.
        report: Called at the end with a sentence for each difference of the file from its header, and damage.

    Raises:
        DataError: The file cannot be read to its end.
    """
    with _as_data_error():
        state, recording = ResampleState(), Recording(path.stem, path, "fast", 0)
        for block in chain(recording.blocks(), [None]):
            state, blocks = resample(state, block, spec)
            yield from (resampled.samples for resampled in blocks if resampled is not None)
        if report is not None:
            for sentence in recording.findings().values():
                report(f"{path}: {sentence}")


def measure_duration_s(path: Path, longest_s: float) -> float:
    """Return a recording's length, of one whose header has none up to `longest_s` seconds more or less.

    Raises:
        DataError: The file cannot be read.
    """
    with _as_data_error():
        with contextlib.closing(open_frames(path)) as frames:
            if frames.samples is not None:
                return frames.samples / frames.rate_hz
        end_s = 0.0
        for block in Recording(path.stem, path, "fast", 0).blocks():
            end_s = (block.first_sample + block.samples.shape[1]) / block.rate_hz
            if end_s >= longest_s:
                break
        return end_s


@contextlib.contextmanager
def _as_data_error() -> Iterator[None]:
    try:
        yield
    except SourceError as error:
        raise DataError(f"{error} `soundwatch data check` lists all such files.") from error


def read_mono(path: Path, to_hz: int = RATE_HZ) -> Mono:
    """Read a recording (S,) at a rate, averaged over its channels.

    Raises:
        DataError: The file cannot be read to its end.
    """
    samples, rate_hz = read_recording(path)
    mono: Mono = soxr.resample(samples.mean(axis=0), rate_hz, to_hz, quality="HQ")
    return mono.astype(np.float32)


def rms(sound: Mono) -> float:
    """Compute the root mean square; 0 for an empty signal."""
    return float(np.sqrt(np.mean(np.square(sound, dtype=np.float64)))) if sound.size else 0.0
