"""A recording in any format that libsndfile reads, block by block.

Conventions: samples as float32, full scale 1, whatever the file's depth. A file that ends early is heard
to where it ends, and then it is an error: nothing that was recorded is lost, and nothing is hidden.
Source: for what a header promised and the file does not hold, libsndfile's own log of the header.
Does not: notice a truncated Ogg, whose pages make sense at every length.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.capture.pacing import Pace, Pacer
from soundwatch.daemon.capture.quiet_stderr import capture_native_stderr
from soundwatch.daemon.capture.validate import validate_samples
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, Samples, read_only

RECORDING_SUFFIXES: Final = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
)
BLOCK_MS: Final[dict[Pace, int]] = {"real_time": 100, "fast": 250}  # where nobody waits, fewer and longer
LOWEST_RATE_HZ: Final = 1_000
HIGHEST_RATE_HZ: Final = 384_000
MOST_CHANNELS: Final = 64

_SHORTER_THAN_DECLARED = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M)
_STREAMED_BYTES: Final = 0x7FFF_0000  # what writes to a pipe puts about 2 GiB or more where it cannot know the size
_UNKNOWN_FRAMES: Final = 2**62  # so does a FLAC encoder that writes to a pipe
_SAYS_NO_FILE: Final = 7  # also where an .mp3 holds nothing like it


class _OnwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Kept from seeking after each read, as soundfile does: an MP3 decoder then starts anew, audibly."""

    def seekable(self) -> bool:
        return False


class Recording:
    """A file of sound.

    Args:
        name: The source's name in events.
        path: The file.
        pace: "real_time" gives blocks when a microphone would.
        start_unix_ns: UTC of sample 0; None for the moment when `blocks` starts.
        first_sample: Where to begin, in a file whose format can be read from any sample on.

    Raises:
        SourceError: The file is missing, not readable, not a recording, or holds no sound.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        pace: Pace = "real_time",
        start_unix_ns: int | None = None,
        first_sample: int = 0,
    ) -> None:
        self._path = path
        self._file = open_recording(path)
        self._first_sample = first_sample
        self.info = SourceInfo(name, str(path), self._file.samplerate, self._file.channels)
        self._start_unix_ns = start_unix_ns
        self._pacer = Pacer(pace, self.info.rate_hz)
        self._dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        self._block_samples = self.info.rate_hz * BLOCK_MS[pace] // 1000

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0."""
        return self._start_unix_ns or 0

    def blocks(self) -> Iterator[Block]:
        """Blocks until the end or `stop`.

        Raises:
            SourceError: A sample is not a number, or the file ends before its header says; what was
                readable has been given.
        """
        if self._start_unix_ns is None:
            self._start_unix_ns = time.time_ns()
        rate_hz, end_sample = self.info.rate_hz, self._first_sample
        self._pacer.wait_for(0)
        with self._file as file:
            if end_sample:
                self._go_to(end_sample)
            while (frames := self._read(end_sample)).shape[0]:  # (S, C)
                samples = read_only(_full_scale(frames))
                validate_samples(samples, end_sample, rate_hz, str(self._path))
                if not self._pacer.wait_for(end_sample + samples.shape[1]):
                    return
                yield Block(samples, rate_hz, end_sample)
                end_sample += samples.shape[1]
            self._check_whole(file, end_sample)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._pacer.stop()

    def _go_to(self, first_sample: int) -> None:
        try:
            self._file.seek(first_sample)
        except soundfile.SoundFileError as error:
            raise self._truncated(f"{self._file.frames} samples", f"sample {first_sample} is not there") from error

    def _read(self, end_sample: int) -> Any:
        """The next frames (S, C), none at the end; those of 16 bits as they are."""
        try:
            return self._file.read(self._block_samples, dtype=self._dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            raise self._truncated(f"{self._file.frames} samples", f"decoding stops after {end_sample}") from error

    def _check_whole(self, file: Any, end_sample: int) -> None:
        if end_sample < file.frames < _UNKNOWN_FRAMES:
            raise self._truncated(f"{file.frames} samples", f"{end_sample} could be read")
        for declared, present in _SHORTER_THAN_DECLARED.findall(file.extra_info):
            if int(present) < int(declared) < _STREAMED_BYTES:
                raise self._truncated(f"{declared} bytes of sound", f"{present} are there ({end_sample} samples)")

    def _truncated(self, declared: str, found: str) -> SourceError:
        return SourceError(
            f"{self._path} is truncated or damaged: its header declares {declared}, but {found}. All before that "
            "was heard. Copy or record the file anew to hear the rest."
        )


def recordings_in(folder: Path) -> list[Path]:
    """The recordings in a folder and in those within it, by name."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in RECORDING_SUFFIXES and path.is_file())


def _full_scale(frames: Any) -> Samples:
    """Frames (S, C) as samples (C, S) of full scale 1: what libsndfile makes of 16 bits, in a third of its time."""
    samples = np.empty(frames.shape[::-1], np.float32)
    np.multiply(frames.T, np.float32(2**-15) if frames.dtype == np.int16 else np.float32(1), out=samples)
    return samples


def open_recording(path: Path) -> Any:
    """The opened `soundfile.SoundFile`, with a sensible header and at least one frame.

    Raises:
        SourceError: As for `Recording`.
    """
    _check_regular(path)
    try:
        with capture_native_stderr():
            file = _OnwardOnly(path)
    except TypeError:  # soundfile's way to say that a file ending in .raw has no header
        raise SourceError(
            f"{path} has no header to read a recording by. Give raw samples on standard input: "
            f"`soundwatch run --device - < {path}`, with their format."
        ) from None
    except soundfile.SoundFileError as error:
        code = getattr(error, "code", 0)
        reason = getattr(error, "error_string", "") or f"libsndfile's error {code}"
        if code == _SAYS_NO_FILE:
            reason = "Format not recognised"
        raise SourceError(
            f"{path} is not a recording that can be read: {reason.rstrip('.')}. WAV, FLAC, Ogg, MP3, AIFF and the "
            "like were wanted; convert it, e.g. with `ffmpeg -i IN OUT.wav`."
        ) from error
    problem = _problem(file)
    if problem:
        file.close()
        raise SourceError(f"{path} {problem}")
    return file


def _check_regular(path: Path) -> None:
    """Refuse early what libsndfile would only call a system error."""
    try:
        if not path.exists():
            raise SourceError(f"There is no file {path}. Check its name; relative paths start at {Path.cwd()}.")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise SourceError(f"{path} is {kind}; a recording was wanted. Pipes can be given on standard input: `-`.")
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{path} is empty (0 bytes); a recording was wanted. Copy or record it anew.")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}. Check its permissions and its disk.") from error


def _problem(file: Any) -> str | None:
    """What is wrong with an opened file's header, if anything."""
    if file.frames == 0:
        return "holds a header but no sound (0 samples). Copy or record it anew."
    if not LOWEST_RATE_HZ <= file.samplerate <= HIGHEST_RATE_HZ:
        return (
            f"has a sampling rate of {file.samplerate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz can be used. "
            "Resample it, or correct its header."
        )
    if file.channels > MOST_CHANNELS:
        return f"has {file.channels} channels; {MOST_CHANNELS} at most can be used. Take some, or correct its header."
    return None
