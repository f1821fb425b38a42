"""Disk cache of decoded clips.

Conventions: one `.npy` per clip, (C, S) float32 at the recipe's rate, resampled by the daemon's
`resample_clip`, so training gets bit-identical samples to the live path. C is the
recipe's channel count where the recording has as many, else 1 (the repeat costs nothing later). A file
is named by a hash of the clip's path, size and modification time, and of rate, channels and library.
Source: soundfile decodes; libsoxr resamples. 4 s of mono at 44.1 kHz takes 0.7 MB.
Does not: cut to windows, or evict; delete the folder to free its space.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
import soundfile
import soxr
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.types import Samples
from soundwatch.daemon.frontend.resample import resample_clip
from soundwatch.training.data.urbansound8k import Clip

_LAYOUT: Final = "1"


def cache_folder() -> Path:
    """Return the cache folder: `soundwatch/clips` in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "soundwatch" / "clips"


def decode(path: Path, spec: FeatureSpec) -> Samples:
    """Decode a recording (C, S) at the spec's rate; C is `spec.channels` where the recording has as many, else 1.

    Raises:
        DataError: The file does not exist, is not audio, is empty or has samples that are not finite.
    """
    try:
        samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    except (OSError, soundfile.SoundFileError) as error:
        raise DataError(
            f"{path} cannot be decoded: {error}. A WAV, FLAC, OGG or MP3 file was wanted. Replace the file, or take it "
            "out of the data set; `soundwatch data check` lists all such files."
        ) from error
    if not samples.size or not np.isfinite(samples).all():
        seen = "holds NaN or infinity" if samples.size else "holds no samples"
        raise DataError(f"{path} {seen}; a recording was wanted. Replace the file, or take it out of the data set.")
    channels = spec.channels if samples.shape[1] == spec.channels else 1
    return resample_clip(samples.T, rate_hz, msgspec.structs.replace(spec, channels=channels))


def cached(clip: Clip, spec: FeatureSpec, folder: Path) -> Samples:
    """Read a decoded clip from the cache, or decode its recording the first time.

    Raises:
        DataError: The recording cannot be used.
    """
    file = folder / f"{_key(clip.path, spec)}.npy"
    try:
        return np.asarray(np.load(file, mmap_mode="r" if clip.windows > 1 else None), np.float32)
    except (FileNotFoundError, ValueError, EOFError):  # not cached yet, or truncated by a full disk
        samples = decode(clip.path, spec)
        _write(file, samples)
        return samples


def fill_cache(clips: Sequence[Clip], spec: FeatureSpec, folder: Path, console: Console) -> None:
    """Decode all clips that are not cached yet, with a progress bar.

    Raises:
        DataError: A recording cannot be used, or the folder cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        missing = [clip for clip in clips if not (folder / f"{_key(clip.path, spec)}.npy").exists()]
        for clip in track(missing, description="Decoding clips", console=console, disable=not missing):
            cached(clip, spec, folder)
    except OSError as error:
        raise DataError(
            f"Decoded clips cannot be written to {folder}: {error}. About {_size_mb(clips, spec)} MB were wanted; "
            "make room, or name another folder in XDG_CACHE_HOME."
        ) from error


def _size_mb(clips: Sequence[Clip], spec: FeatureSpec) -> int:
    """Estimate the size of the clips, if each is as long as its windows and mono."""
    return sum(clip.windows for clip in clips) * spec.window_samples * 4 // 1_000_000 + 1


def _key(path: Path, spec: FeatureSpec) -> str:
    """Return the cache key of a clip, which changes with the recording and its processing.

    Raises:
        DataError: The recording no longer exists.
    """
    try:
        status = path.stat()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read any more: {error.strerror}. Put it back, or start another run."
        ) from error
    identity = (path.resolve(), status.st_size, status.st_mtime_ns)
    return hashlib.sha256(
        repr((_LAYOUT, *map(str, identity), spec.rate_hz, spec.channels, soxr.__version__)).encode()
    ).hexdigest()


def _write(file: Path, samples: Samples) -> None:
    """Write a cached file atomically, since two runs may fill one cache."""

    def write(part: Path) -> None:
        with part.open("wb") as stream:
            np.save(stream, samples)

    replace_file(file, write)
