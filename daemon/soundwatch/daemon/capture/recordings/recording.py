"""Recordings in any format that libsndfile or ffmpeg reads, block by block.

Conventions: samples are float32, full scale 1, at any bit depth of the file. A truncated file gives all its
samples, and then an error: no recorded sound is lost, and no damage is hidden.
Does not: decode (`capture/recordings/frame_reader.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np

from soundwatch.daemon.capture.recordings.ffmpeg_file import FFMPEG_SUFFIXES
from soundwatch.daemon.capture.recordings.files import FolderFiles, files_under
from soundwatch.daemon.capture.recordings.findings import ADVICE, FindingKind, RecordingMeter
from soundwatch.daemon.capture.recordings.frame_reader import open_frames
from soundwatch.daemon.capture.recordings.pacing import Pace, Pacer, Pause
from soundwatch.daemon.capture.samples.recording_error import RecordingError
from soundwatch.daemon.capture.samples.validate import count_valid, validate_samples
from soundwatch.daemon.core.process.stop_request import StoppedError
from soundwatch.daemon.core.records.block import Block, Samples, read_only
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.core.records.source import SourceInfo

RECORDING_SUFFIXES: Final = FFMPEG_SUFFIXES | frozenset((
    ".wav", ".wave", ".bwf", ".rf64", ".w64", ".flac", ".ogg", ".oga", ".opus", ".spx", ".mp3", ".mp2",
    ".mpga", ".aif", ".aiff", ".aifc", ".au", ".snd", ".caf", ".voc", ".avr", ".nist", ".sph", ".paf", ".svx",
    ".sf"
))  # fmt: skip
BLOCK_MS: Final[dict[Pace, int]] = {"real_time": 100, "fast": 1000}  # fewer and longer where latency does not matter


class Recording:
    """A recording.

    Args:
        name: The source's name in events.
        path: The file.
        pace: "real_time" gives blocks at the rate of a microphone.
        start_unix_ns: UTC of sample 0; None for the start of `blocks`.
        first_sample: First sample to read, in a format that supports seeking.
        measure: Measure the samples for `findings`.

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
        measure: bool = False,
    ) -> None:
        self._path = path
        waiting = Pause()
        self._frames = open_frames(path, waiting.wait_s if pace == "real_time" else None)
        self._first_sample = first_sample
        self.info = SourceInfo(name, str(path), self._frames.rate_hz, self._frames.channels)
        self._start_unix_ns = start_unix_ns
        self._pacer = Pacer(pace, self.info.rate_hz, waiting)
        self.meter = RecordingMeter(self.info.rate_hz) if measure else None
        self._block_samples = self.info.rate_hz * BLOCK_MS[pace] // 1000

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    @property
    def encoding(self) -> str:
        """Container and sample format, e.g. "WAV PCM_16"."""
        return self._frames.encoding

    def findings(self) -> dict[FindingKind, str]:
        """Return what was found, as kind and sentence; complete once all blocks were given.

        Sentences about the samples need `measure`.
        """
        found: dict[FindingKind, str] = dict(self._frames.notes)
        if self.meter is not None and self.meter.samples:
            found |= {kind: ADVICE[kind] for kind in self.meter.findings()}
        return found

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0."""
        return self._start_unix_ns or 0

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
        try:
            if end_sample:
                self._frames.seek(end_sample)
            while (frames := self._frames.read(self._block_samples)).shape[0]:  # (S, C)
                samples = read_only(match_channels(_full_scale(frames), self.info.channels))
                try:
                    validate_samples(samples, end_sample, rate_hz, str(self._path))
                except RecordingError:
                    if valid_samples := count_valid(samples):
                        yield Block(read_only(samples[:, :valid_samples]), rate_hz, end_sample)
                    raise
                if not self._pacer.wait_for(end_sample + samples.shape[1]):
                    return
                if self.meter is not None:
                    self.meter.add(samples)
                yield Block(samples, rate_hz, end_sample)
                end_sample += samples.shape[1]
        except StoppedError:
            if self._pacer.wait_for(end_sample):  # else `stop` ended the blocks
                raise
        finally:
            self._frames.close()

    def stop(self) -> None:
        """Make `blocks` end."""
        self._pacer.stop()


def recordings_in(folder: Path) -> FolderFiles:
    """List the recordings under a folder, and what is left out of it."""
    under = files_under(folder)
    return FolderFiles(under.with_suffix(RECORDING_SUFFIXES), under.left_out)


def _full_scale(frames: Any) -> Samples:
    """Convert frames (S, C) to samples (C, S) of full scale 1, in a third of the time that libsndfile takes."""
    with np.errstate(invalid="ignore"):  # `validate_samples` names a signaling NaN
        samples: Samples = frames.T.astype(np.float32, order="C")
        if frames.dtype == np.int16:
            samples *= np.float32(2**-15)  # not in one step: a product of two types crashes in numpy without memory
    return samples
