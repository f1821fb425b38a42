"""Disk cache of decoded clips.

Conventions: one file per clip (`data/audio/pcm_file.py`), (C, S) int16 with a scale, at the recipe's rate, read and
resampled block by block as in the daemon, so no recording is held in memory. C is the recipe's channel count where the
recording has as many, else 1 (the repeat costs nothing later). A file is named by a hash of the clip's path, size and
modification time, and of rate, channels and library.
4 s takes 0.13 MB at 16 kHz mono, 0.7 MB at 44.1 kHz stereo. Above `LIMIT_MB` the clips are removed that no run has used
for the longest time; a removed clip is decoded again when it is needed.
Does not: cut to windows.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soxr
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.core.errors import DataError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.files.unfinished import remove_unfinished
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.block import Samples
from soundwatch.training.data.audio.pcm_file import PcmClip, read_pcm, write_pcm
from soundwatch.training.data.audio.read_audio import resampled_blocks
from soundwatch.training.data.datasets.urbansound8k import Clip

LIMIT_MB: Final = 20_000
_SHOWN: Final = 10
_LAYOUT: Final = "3"


def cache_folder() -> Path:
    """Return the cache folder: `soundwatch/clips` in XDG_CACHE_HOME, or in ~/.cache."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "soundwatch" / "clips"


def decode(path: Path, spec: FeatureSpec) -> Samples:
    """Decode a recording (C, S) at the spec's rate; C is `spec.channels` where the recording has as many, else 1.

    Raises:
        DataError: The file cannot be read to its end.
    """
    blocks = [*resampled_blocks(path, spec)]
    return np.concatenate(blocks, axis=1) if blocks else np.zeros((1, 1), np.float32)  # one sample, and none after that


@dataclass(frozen=True, slots=True)
class ClipCache:
    """Cache of the clips of one front end.

    Attributes:
        spec: Front end.
        folder: Folder of the files.
    """

    spec: FeatureSpec
    folder: Path

    def __call__(self, clip: Clip) -> Samples:
        """Read the samples (C, S) of a clip.

        Raises:
            DataError: The recording cannot be used.
        """
        return self.stored(clip).to_float()

    def stored(self, clip: Clip, report: Callable[[str], None] | None = None) -> PcmClip:
        """Map a clip from the cache, or decode its recording the first time.

        Args:
            clip: The clip.
            report: Called with a sentence for each finding about the file that is decoded.

        Raises:
            DataError: The recording cannot be used.
        """
        file = self.file(clip)
        try:
            return read_pcm(file)
        except (FileNotFoundError, ValueError):  # not cached yet, removed, or truncated by a full disk
            replace_file(file, lambda part: write_pcm(part, resampled_blocks(clip.path, self.spec, report)))
            return read_pcm(file)

    def file(self, clip: Clip) -> Path:
        """Return the file of a clip, which changes with the recording and its processing.

        Raises:
            DataError: The recording no longer exists.
        """
        return self.folder / f"{_key(clip.path, self.spec)}.pcm"

    def fill(self, clips: Sequence[Clip], console: Console) -> None:
        """Decode all clips that are not cached yet, with a progress bar, then remove what is over the limit.

        What is found about files that are decoded is printed: damage, and lengths that differ from the header.

        Raises:
            DataError: A recording cannot be used, or the folder cannot be written.
        """
        sentences: list[str] = []
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            remove_unfinished([self.folder])
            files = {self.file(clip): clip for clip in clips}
            missing = [clip for file, clip in files.items() if not file.exists()]
            for clip in track(missing, description="Decoding clips", console=console, disable=not missing):
                self.stored(clip, sentences.append)
            for file in files:
                os.utime(file)
            removed, freed_mb = evict(self.folder, set(files), LIMIT_MB)
        except OSError as error:
            raise DataError(
                f"Decoded clips cannot be written to {self.folder}: {error}. About {size_mb(clips, self.spec)} MB were "
                "expected; make room, or name another folder in XDG_CACHE_HOME."
            ) from error
        for sentence in sentences[:_SHOWN]:
            console.print(f"soundwatch: {sentence}", highlight=False, markup=False, soft_wrap=True)
        if len(sentences) > _SHOWN:
            console.print(f"soundwatch: {len(sentences) - _SHOWN} more such files; `soundwatch data check` lists all.")
        if removed:
            console.print(
                f"The cache was over {LIMIT_MB} MB: {removed} clips not used of late, {freed_mb} MB, removed."
            )


def evict(folder: Path, kept: set[Path], limit_mb: int) -> tuple[int, int]:
    """Remove the files with the oldest use until the folder is within the limit; return their number and megabytes."""
    files = [(status.st_mtime_ns, status.st_size, path) for path in folder.iterdir() if (status := _status(path))]
    over, removed, freed = sum(size for _, size, _ in files) - limit_mb * 1_000_000, 0, 0
    for _, size, path in sorted(files):
        if over <= freed:
            break
        if path not in kept:
            path.unlink(missing_ok=True)  # another run may remove it too
            removed, freed = removed + 1, freed + size
    return removed, freed // 1_000_000


def _status(path: Path) -> os.stat_result | None:
    """Return the status of a file; None if another run has just removed it."""
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def size_mb(clips: Sequence[Clip], spec: FeatureSpec) -> int:
    """Estimate the size of the clips, if each is as long as its windows and has the spec's channels."""
    return sum(clip.windows for clip in clips) * spec.channels * spec.window_samples * 2 // 1_000_000 + 1


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
    library = soxr.__version__ if spec.resampler == "libsoxr" else spec.resampler
    identity = (path.resolve(), status.st_size, status.st_mtime_ns)
    return hashlib.sha256(
        repr((_LAYOUT, *map(str, identity), spec.rate_hz, spec.channels, library)).encode()
    ).hexdigest()
