"""Finds the sound file of an event's clip inside the clips folder."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundwatch.daemon.core.config import ClipsConfig

TYPES: Final = {".flac": "audio/flac", ".wav": "audio/wav"}


def clips_folder(config: ClipsConfig) -> Path | None:
    """Return the folder of the clips; None if no clips are recorded."""
    return None if config.folder is None else Path(config.folder).expanduser()


def clip_path(folder: Path | None, file: str | None) -> Path | None:
    """Resolve the path of a clip.

    Args:
        folder: Folder of the clips.
        file: Path in a `clip` line: absolute, or relative to the folder.

    Returns:
        None if the file is not a clip, or lies outside the folder by `..`, by a link or by a forged line.
    """
    if folder is None or not file or "\x00" in file:
        return None
    try:
        root = folder.resolve(strict=True)
        path = (root / file).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(root) and path.suffix in TYPES and path.is_file() else None
