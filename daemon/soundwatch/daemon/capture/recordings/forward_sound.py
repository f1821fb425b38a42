"""libsndfile's decoder over a view of a file.

Does not: choose the view (`capture/recordings/sndfile_reader.py`).
"""

from __future__ import annotations

from typing import Any

import soundfile

from soundwatch.daemon.capture.descriptors.quiet_stderr import capture_native_stderr
from soundwatch.daemon.capture.recordings.containers import FileView


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Sound file without the seek that soundfile does after each read, which restarts an MP3 decoder audibly."""

    def seekable(self) -> bool:
        return False


def open_sound(view: FileView) -> Any:
    """Open a view.

    Raises:
        OSError: The disk cannot be read.
        soundfile.SoundFileError: libsndfile cannot decode the view.
    """
    try:
        with capture_native_stderr():
            return _ForwardOnly(view)
    finally:
        raise_read_error(view)


def raise_read_error(view: FileView) -> None:
    """Raise the error of the disk, which is the end of the file for libsndfile."""
    if view.error is not None:
        raise view.error
