"""An event's sound, from the folder of clips and from nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Final

TYPES: Final = {".flac": "audio/flac", ".wav": "audio/wav"}


def clip_path(folder: Path | None, file: str | None) -> Path | None:
    """Where a clip is, if it is one.

    Args:
        folder: That clips are kept in.
        file: As a line tells it: a path, absolute or from that folder.

    Returns:
        None where it is none, or lies elsewhere, be it by `..`, by a link or by a line that somebody wrote.
    """
    if folder is None or not file or "\x00" in file:
        return None
    try:
        home = folder.resolve(strict=True)
        path = (home / file).resolve(strict=True)
    except (OSError, RuntimeError):
        return None
    return path if path.is_relative_to(home) and path.suffix in TYPES and path.is_file() else None
