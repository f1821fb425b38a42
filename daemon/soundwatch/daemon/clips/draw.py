"""Draw the pictures of clips that have none, as clips of a time before `clips.pictures`.

Conventions: a clip that has a picture is left as it is, so a run that was stopped continues where it was.
Does not: decide which clips exist (`clip_store.py`), or change a line of the journal.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import soundfile

from soundwatch.daemon.clips.clip_names import list_clips, list_pictures, picture_path
from soundwatch.daemon.clips.picture import check_pillow, spectrogram_png
from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.atomic_file import replace_bytes


@dataclass(frozen=True, slots=True)
class DrawnPicture:
    """Result of one clip.

    Attributes:
        clip: The clip.
        error: Reason why the clip has no picture; None if its picture was drawn.
    """

    clip: Path
    error: str | None = None


def clips_without_picture(folder: Path) -> list[Path]:
    """List the clips of a folder that have no picture, the newest first.

    Raises:
        ConfigError: The folder cannot be read, or Pillow is not installed.
    """
    check_pillow()
    try:
        drawn, clips = list_pictures(folder), list_clips(folder)
    except OSError as error:
        raise ConfigError(f"clips.folder {folder} cannot be read: {error.strerror}.") from error
    missing = [clip for clip in clips if picture_path(clip.path) not in drawn]
    return [clip.path for clip in sorted(missing, key=lambda clip: clip.stamp, reverse=True)]


def draw_pictures(clips: list[Path]) -> Iterator[DrawnPicture]:
    """Draw the picture of each clip, and yield its result.

    Raises:
        SinkError: A picture cannot be written.
    """
    for clip in clips:
        try:
            frames, rate_hz = soundfile.read(clip, dtype="int16", always_2d=True)
            if not len(frames):
                raise ValueError("it has no sound")
            png = spectrogram_png(frames, rate_hz)
        except (OSError, RuntimeError, ValueError) as error:  # damaged, closed to this user, or removed meanwhile
            yield DrawnPicture(clip, str(error) or type(error).__name__)
            continue
        path = picture_path(clip)
        try:
            replace_bytes(path, png, mode=0o600)
        except OSError as error:
            raise SinkError(
                f"{path} cannot be written: {error.strerror}. The pictures before it stay; run the command again."
            ) from error
        yield DrawnPicture(clip)
