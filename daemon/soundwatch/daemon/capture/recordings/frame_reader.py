"""Frames of an audio file from its start to its end, by libsndfile, else by the program ffmpeg.

Conventions: frames are (S, C), 16-bit integers where the file has 16 bits, else float32 of full scale 1. A file is read
forward only, in blocks, whatever its length.
Rule: all sound that is there is read. A header that declares more is an error after the last frame; a header that
declares less is a note.
Does not: check sample values (`capture/samples/validate.py`), or load libsndfile before a file is opened.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from soundwatch.daemon.capture.recordings.containers import Part, find_parts
from soundwatch.daemon.capture.recordings.ffmpeg_file import FfmpegReader, install_advice
from soundwatch.daemon.capture.recordings.findings import FindingKind
from soundwatch.daemon.capture.samples.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ, MOST_CHANNELS
from soundwatch.daemon.capture.samples.recording_error import RecordingError
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.text.utf8 import utf8_fault

_ADDRESS: Final = re.compile(r"[a-z][a-z0-9+.-]+:/")  # `Path` has joined the two strokes

_NO_SUCH_FILE: Final = 7  # libsndfile also reports this for an .mp3 without MP3 data


class FrameReader(Protocol):
    """An open recording.

    Attributes:
        rate_hz: Sampling rate.
        channels: Number of channels.
        encoding: Container and sample format, e.g. "WAV PCM_16".
        samples: Number of samples if the file's length is known exactly, else None.
    """

    rate_hz: int
    channels: int
    encoding: str
    samples: int | None

    @property
    def notes(self) -> Mapping[FindingKind, str]:
        """Return findings about the file that are no errors, as kind and sentence; complete at the end."""

    def read(self, count: int) -> Any:
        """Read up to `count` frames (S, C), none at the end.

        Raises:
            SourceError: The file is truncated or damaged; all sound before that was read.
        """

    def seek(self, sample: int) -> None:
        """Continue at a sample.

        Raises:
            SourceError: There is no such sample.
        """

    def close(self) -> None:
        """Close the file."""


def open_frames(path: Path, pause: Callable[[float], bool] | None = None) -> FrameReader:
    """Open a recording with a valid header and at least one frame.

    Args:
        path: The file.
        pause: Waits for the writer of a growing file, as for `GrowthWatch`; None to read what is there.

    Raises:
        SourceError: The file is missing, not readable, not a recording, or contains no sound.
    """
    import soundfile  # libsndfile's megabyte: a live source does without

    from soundwatch.daemon.capture.recordings.sndfile_reader import SndfileReader

    _check_regular(path)
    try:
        reader: FrameReader = SndfileReader(path, pause)
    except soundfile.SoundFileError as error:
        reader = _open_with_ffmpeg(path, error)
    problem = _problem(reader)
    if problem:
        reader.close()
        raise RecordingError(f"{path} {problem}", "unreadable" if reader.samples else "empty")
    return reader


def _open_with_ffmpeg(path: Path, error: Exception) -> FrameReader:
    """Open what libsndfile does not read."""
    code = getattr(error, "code", 0)
    reason = getattr(error, "error_string", "") or f"libsndfile's error {code}"
    if code == _NO_SUCH_FILE:
        reason = "Format not recognised"
    if path.suffix.lower() == ".raw":
        raise SourceError(
            f"{path} has no header. Give raw samples on standard input: `soundwatch run --device - < {path}`, "
            "with their format."
        ) from None
    try:
        return FfmpegReader(path, _parts(path))
    except FileNotFoundError:
        advice = (
            f"M4A, MP4, WebM, WMA and AMR files are read with the program ffmpeg, which is missing: {install_advice()}"
        )
    except RecordingError:
        raise
    except SourceError as no_media:
        advice = f"ffmpeg says: {no_media} Convert the file, e.g. with `ffmpeg -i IN OUT.wav`."
    raise SourceError(
        f"{path} is not a recording that can be read: {reason.rstrip('.')}. A WAV, FLAC, Ogg, MP3 or AIFF file was "
        f"expected. {advice}"
    ) from error


def _parts(path: Path) -> tuple[Part, ...]:
    with path.open("rb") as file:
        return find_parts(file, path.stat().st_size)


def _check_regular(path: Path) -> None:
    """Refuse paths for which libsndfile would only report a system error."""
    if fault := utf8_fault(str(path), printable(str(path))):
        raise SourceError(fault)
    try:
        if not path.exists() and _ADDRESS.match(str(path)):
            raise SourceError(
                f"{path} is an address; the path of a file was expected. Save the sound to a file, or listen to it "
                "with `soundwatch run --device ADDRESS`."
            )
        if not path.exists():
            raise SourceError(f"There is no file {path}. Check its name; relative paths start at {Path.cwd()}.")
        if not path.is_file():
            if path.is_dir():
                raise SourceError(
                    f"{path} is a folder; a recording was expected. Give the path of a file; `soundwatch replay` and "
                    "`soundwatch scan` take folders that contain recordings."
                )
            raise SourceError(
                f"{path} is not a regular file; a recording was expected. Copy it into a file, or give raw samples "
                "on standard input: `soundwatch run --device -`."
            )
        with path.open("rb") as file:
            if not file.read(1):
                raise RecordingError(
                    f"{path} is empty (0 bytes); a recording was expected. Copy or record it again.", "empty"
                )
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}. Check its permissions and its disk.") from error


def _problem(reader: FrameReader) -> str | None:
    """Return the fault of an opened file's header, or None."""
    if reader.samples == 0:
        return "contains a header but no sound (0 samples). Copy or record it again."
    if not LOWEST_RATE_HZ <= reader.rate_hz <= HIGHEST_RATE_HZ:
        return (
            f"has a sampling rate of {reader.rate_hz} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz can be used. "
            "Resample it, or correct its header."
        )
    if reader.channels > MOST_CHANNELS:
        return f"has {reader.channels} channels; {MOST_CHANNELS} at most can be used. Take some, or correct its header."
    return None
