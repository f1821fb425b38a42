"""Recordings in any format that libsndfile reads, block by block.

Conventions: samples are float32, full scale 1, at any bit depth of the file. A truncated file gives all its
samples, and then an error: no recorded sound is lost, and no damage is hidden.
Source: libsndfile's log of the header, for the declared and the present size.
Does not: notice a truncated Ogg, whose pages are valid at every length.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.capture.audio_quality import LevelStats
from soundwatch.daemon.capture.pacing import Pace, Pacer
from soundwatch.daemon.capture.quiet_stderr import capture_native_stderr
from soundwatch.daemon.capture.validate import validate_samples
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, Samples, read_only

OPPOSITE_ADVICE: Final = (
    "its channels cancel each other, so a mono model gets silence. Use one of the channels: "
    "`ffmpeg -i IN -af pan=mono|c0=c0 OUT.wav`, or `channels: left` for a live source."
)
RECORDING_SUFFIXES: Final = frozenset(
    (".wav", ".wave", ".flac", ".ogg", ".oga", ".opus", ".mp3", ".aif", ".aiff", ".au", ".caf", ".w64", ".rf64")
)
BLOCK_MS: Final[dict[Pace, int]] = {"real_time": 100, "fast": 250}  # fewer and longer where latency does not matter
LOWEST_RATE_HZ: Final = 1_000
HIGHEST_RATE_HZ: Final = 384_000
MOST_CHANNELS: Final = 64

_SHORTER_THAN_DECLARED = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M)
_STREAMED_BYTES: Final = 0x7FFF_0000  # a writer to a pipe declares about 2 GiB or more, since the size is unknown
_UNKNOWN_FRAMES: Final = 2**62  # a FLAC encoder that writes to a pipe declares this
_NO_SUCH_FILE: Final = 7  # libsndfile also reports this for an .mp3 without MP3 data


class _ForwardOnly(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """Sound file without the seek that soundfile does after each read, which restarts an MP3 decoder audibly."""

    def seekable(self) -> bool:
        return False


class Recording:
    """A recording.

    Args:
        name: The source's name in events.
        path: The file.
        pace: "real_time" gives blocks at the rate of a microphone.
        start_unix_ns: UTC of sample 0; None for the start of `blocks`.
        first_sample: First sample to read, in a format that supports seeking.
        check_channels: Check whether the channels cancel each other; the result is complete once all blocks are read.

    Raises:
        SourceError: The file is missing, not readable, not a recording, or contains no sound.
    """

    def __init__(
        self,
        name: str,
        path: Path,
        pace: Pace = "real_time",
        start_unix_ns: int | None = None,
        first_sample: int = 0,
        *,
        check_channels: bool = False,
    ) -> None:
        self._path = path
        self._file = open_recording(path)
        self._first_sample = first_sample
        self.info = SourceInfo(name, str(path), self._file.samplerate, self._file.channels)
        self._start_unix_ns = start_unix_ns
        self._pacer = Pacer(pace, self.info.rate_hz)
        self._dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        self._level_stats = LevelStats.of(np.zeros((self.info.channels, 0), np.float32))
        self._checks_channels = check_channels and self.info.channels > 1
        self._block_samples = self.info.rate_hz * BLOCK_MS[pace] // 1000

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0."""
        return self._start_unix_ns or 0

    @property
    def opposite_channels(self) -> bool:
        """True if the channels read so far cancel in their mean; always False without `check_channels`."""
        return self._level_stats.opposite_channels

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the end or `stop`.

        Raises:
            SourceError: A sample is not a number, or the file is shorter than its header declares; all readable
                blocks were given.
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
                if self._checks_channels:
                    self._level_stats += LevelStats.of(samples)
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
        """Read the next frames (S, C), none at the end; 16-bit frames as integers."""
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
            f"{self._path} is truncated or damaged: its header declares {declared}, but {found}. All sound before "
            "that was read. Copy or record the file again for the rest."
        )


def recordings_in(folder: Path) -> list[Path]:
    """List the recordings in a folder and its subfolders, sorted by path."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in RECORDING_SUFFIXES and path.is_file())


def _full_scale(frames: Any) -> Samples:
    """Convert frames (S, C) to samples (C, S) of full scale 1, in a third of the time that libsndfile takes."""
    samples = np.empty(frames.shape[::-1], np.float32)
    np.multiply(frames.T, np.float32(2**-15) if frames.dtype == np.int16 else np.float32(1), out=samples)
    return samples


def open_recording(path: Path) -> Any:
    """Open a `soundfile.SoundFile` with a valid header and at least one frame.

    Raises:
        SourceError: As for `Recording`.
    """
    _check_regular(path)
    try:
        with capture_native_stderr():
            file = _ForwardOnly(path)
    except TypeError:  # soundfile raises this for a file name that ends in .raw
        raise SourceError(
            f"{path} has no header. Give raw samples on standard input: `soundwatch run --device - < {path}`, "
            "with their format."
        ) from None
    except soundfile.SoundFileError as error:
        code = getattr(error, "code", 0)
        reason = getattr(error, "error_string", "") or f"libsndfile's error {code}"
        if code == _NO_SUCH_FILE:
            reason = "Format not recognised"
        raise SourceError(
            f"{path} is not a recording that can be read: {reason.rstrip('.')}. A WAV, FLAC, Ogg, MP3 or AIFF file "
            "was wanted; convert it, e.g. with `ffmpeg -i IN OUT.wav`."
        ) from error
    problem = _problem(file)
    if problem:
        file.close()
        raise SourceError(f"{path} {problem}")
    return file


def _check_regular(path: Path) -> None:
    """Refuse paths for which libsndfile would only report a system error."""
    try:
        if not path.exists():
            raise SourceError(f"There is no file {path}. Check its name; relative paths start at {Path.cwd()}.")
        if not path.is_file():
            kind = "a folder" if path.is_dir() else "not a regular file"
            raise SourceError(f"{path} is {kind}; a recording was wanted. Pipes can be given on standard input: `-`.")
        with path.open("rb") as file:
            if not file.read(1):
                raise SourceError(f"{path} is empty (0 bytes); a recording was wanted. Copy or record it again.")
    except OSError as error:
        raise SourceError(f"{path} cannot be read: {error.strerror}. Check its permissions and its disk.") from error


def _problem(file: Any) -> str | None:
    """Return the fault of an opened file's header, or None."""
    if file.frames == 0:
        return "contains a header but no sound (0 samples). Copy or record it again."
    if not LOWEST_RATE_HZ <= file.samplerate <= HIGHEST_RATE_HZ:
        return (
            f"has a sampling rate of {file.samplerate} Hz; {LOWEST_RATE_HZ} to {HIGHEST_RATE_HZ} Hz can be used. "
            "Resample it, or correct its header."
        )
    if file.channels > MOST_CHANNELS:
        return f"has {file.channels} channels; {MOST_CHANNELS} at most can be used. Take some, or correct its header."
    return None
