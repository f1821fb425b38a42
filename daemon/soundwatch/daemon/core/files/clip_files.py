"""Finds the sound and the picture of an event's clip inside the clips folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.files.paths import is_file

SOUND: Final = {".flac": "audio/flac", ".wav": "audio/wav"}
PICTURE: Final = {".png": "image/png"}


def clip_path(folder: Path | None, file: str | None, types: Mapping[str, str] = SOUND) -> Path | None:
    """Resolve the path of a clip.

    Args:
        folder: Folder of the clips.
        file: Path in a `clip` line: absolute, or relative to the folder.
        types: Media types by suffix, of sound or of pictures.

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
    return path if path.is_relative_to(root) and path.suffix in types and path.is_file() else None


def clip_picture_path(folder: Path | None, file: str | None, picture: str | None) -> Path | None:
    """Resolve the path of the picture of a clip; None as for `clip_path`, or if the clip itself is gone.

    Args:
        folder: Folder of the clips.
        file: Path of the clip in its line.
        picture: Name of the picture in the line; None where it was drawn after the line was written, if at all.
    """
    name = picture or picture_name(file)
    if folder is None or name is None or not is_file(folder / name):  # most clips have none, and pages ask for each
        return None
    return None if clip_path(folder, file) is None else clip_path(folder, name, PICTURE)


def picture_name(file: str | None) -> str | None:
    """Return the path of the picture of a clip, by that of the clip."""
    return f"{file.removesuffix('.flac')}.png" if file and file.endswith(".flac") else None


def unreachable_clip(folder: Path | None, file: str, recorded: str | None) -> str | None:
    """Return why a clip that `clip_path` does not find may still exist; None if its file is gone.

    Args:
        folder: Folder of the clips.
        file: Path in a `clip` line: absolute, or relative to the folder.
        recorded: Absolute path in a `clip` line.
    """
    named = [*([] if folder is None else [folder / file]), *([] if recorded is None else [Path(recorded)])]
    for path in named or [Path(file)]:
        try:
            path.lstat()
        except FileNotFoundError:
            if not path.parent.is_dir():
                return f"the folder {path.parent} is not there. Mount it, or create it empty if its clips are gone."
        except (OSError, ValueError) as error:
            return f"{str(path)!r} cannot be reached: {getattr(error, 'strerror', None) or error}."
        else:
            return f"{path} is not a clip in the clips folder. Move or delete this file first."
    return None
