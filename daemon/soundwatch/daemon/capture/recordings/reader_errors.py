"""Errors of a recording that cannot be read to its end; all sound before that was read."""

from __future__ import annotations

from pathlib import Path

from soundwatch.daemon.capture.samples.recording_error import RecordingError
from soundwatch.daemon.core.errors import SourceError


def unopenable(path: Path, error: OSError) -> SourceError:
    """Return the error of a file that cannot be opened."""
    return SourceError(f"{path} cannot be read: {error.strerror}. Check its permissions and its disk.")


def truncated(path: Path, declared: str, found: str) -> RecordingError:
    """Return the error of a file that holds less than its header declares."""
    return RecordingError(
        f"{path} is truncated or damaged: its header declares {declared}, but {found}. All sound before "
        "that was read. Copy or record the file again for the rest.",
        "shorter than declared",
    )


def shortened(path: Path, at_s: float) -> RecordingError:
    """Return the error of a file that another program has shortened since it was opened."""
    return RecordingError(
        f"{path} was shortened while it was read: it ends after {at_s:.3f} s now. All sound before that was read. Read "
        "a copy that no other program changes.",
        "shorter than declared",
    )


def undecodable_rest(path: Path, at_s: float) -> RecordingError:
    """Return the error of a joined file whose next part does not decode."""
    return RecordingError(
        f"{path} is damaged after {at_s:.3f} s: what follows cannot be decoded. All sound before that was read. Copy "
        "or record the file again for the rest.",
        "shorter than declared",
    )


def rate_changes(path: Path, at_s: float, rate_hz: int, next_rate_hz: int) -> SourceError:
    """Return the error of joined recordings of two rates."""
    return SourceError(
        f"{path} holds several recordings: after {at_s:.3f} s the rate changes from {rate_hz} to {next_rate_hz} Hz. "
        "All sound before that was read. Split the file, or convert it with `ffmpeg -i IN OUT.wav`."
    )


def unreadable(path: Path, at_s: float, error: OSError) -> SourceError:
    """Return the error of a disk."""
    return SourceError(
        f"{path} cannot be read after {at_s:.3f} s: {error.strerror}. All sound before that was read. Check its disk."
    )
