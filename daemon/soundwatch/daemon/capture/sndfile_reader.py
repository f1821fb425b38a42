"""Frames of an audio file that libsndfile reads, part after part.

Conventions: as for `capture/frame_reader.py`. A part is presented with a header that agrees with its bytes.
Source: libsndfile's log of the header, for formats without a layout in `capture/containers`.
Does not: read what only ffmpeg reads.
"""

from __future__ import annotations

import contextlib
import re
import weakref
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.capture.containers import FileView, Part, find_parts
from soundwatch.daemon.capture.containers.flac import END_BYTES, flac_end_sample
from soundwatch.daemon.capture.containers.mpeg import mpeg_parts, parse_frame
from soundwatch.daemon.capture.containers.search import SearchProgress
from soundwatch.daemon.capture.forward_sound import open_sound, raise_read_error
from soundwatch.daemon.capture.quiet_stderr import capture_native_stderr
from soundwatch.daemon.capture.recording_error import RecordingError
from soundwatch.daemon.capture.recording_findings import FindingKind
from soundwatch.daemon.core.errors import SourceError

_SHORTER_THAN_DECLARED = re.compile(r"^\s*(?:data|SSND|Data Size|riff|Riff size)\s*: (\d+) \(should be (\d+)\)", re.M)
_STREAMED_BYTES: Final = 0x7FFF_0000  # a writer to a pipe declares about 2 GiB or more, since the size is unknown
_UNKNOWN_SAMPLES: Final = 2**40  # a decoder that does not know the length reports a number beyond this


class SndfileReader:
    """A file that libsndfile reads, part after part.

    Args:
        path: The file.

    Raises:
        SourceError: The file cannot be read.
        soundfile.SoundFileError: libsndfile does not read the format.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._number = -1
        self._part_samples = 0
        self._end_sample = 0
        self._endless = False
        self._damaged = False
        self.notes: dict[FindingKind, str] = {}
        left_out_bytes = self._open_first()
        self.rate_hz: int = self._file.samplerate
        self.channels: int = self._file.channels
        self.encoding = f"{self._file.format} {self._file.subtype}"
        known = len(self._parts) == 1 and not self._parts[0].estimated and self._file.frames < _UNKNOWN_SAMPLES
        self.samples: int | None = self._file.frames if known else None
        if left_out_bytes:
            self._note_gap(left_out_bytes)

    def read(self, count: int) -> Any:
        """Read frames, as in `FrameReader`."""
        try:
            return self._next_frames(count)
        except OSError as error:
            raise self._unreadable(error) from error

    def _next_frames(self, count: int) -> Any:
        while True:
            frames = self._read(count)
            self._part_samples += len(frames)
            self._end_sample += len(frames)
            if len(frames) or not self._go_on():
                return frames

    def seek(self, sample: int) -> None:
        """Continue at a sample, as in `FrameReader`."""
        try:
            self._file.seek(sample)
        except soundfile.SoundFileError as error:
            if self._view.error is not None:
                raise self._unreadable(self._view.error) from error
            raise self._truncated(f"{self._file.frames} samples", f"sample {sample} is not there") from error
        self._part_samples = self._end_sample = sample

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._closing()

    @property
    def _part(self) -> Part:
        return self._parts[self._number]

    def _open_first(self) -> int:
        """Find the parts and open the first, as `_open_next`; close the file after an error."""
        try:
            with contextlib.ExitStack() as opened:
                self._raw = opened.enter_context(self._path.open("rb"))
                size = self._raw.seek(0, 2)
                self._parts = find_parts(self._raw, size) or (Part(0, size),)
                self._whole_file = self._parts == (Part(0, size),)  # of a format without a layout, or with one part
                left_out_bytes = self._open_next()
                self._closing = weakref.finalize(self, opened.pop_all().close)
        except OSError as error:
            raise SourceError(
                f"{self._path} cannot be read: {error.strerror}. Check its permissions and its disk."
            ) from error
        return left_out_bytes

    def _open(self, part: Part, header: bytes | None = None) -> None:
        self._view = FileView(self._raw, part, header)
        self._file = open_sound(self._view)
        self._dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        self._part_samples = 0
        self._endless = header is not None

    @property
    def _is_mpeg_file(self) -> bool:
        return "MPEG" in self._file.subtype

    def _is_mpeg(self, part: Part) -> bool:
        self._raw.seek(part.start)
        return parse_frame(self._raw.read(4)) is not None

    def _open_next(self) -> int:
        """Open the next part; return the number of bytes of MPEG frames before it that cannot be decoded.

        Raises:
            soundfile.SoundFileError: There is none, or it cannot be decoded.
        """
        left_out_bytes = 0
        while True:
            self._number += 1
            try:
                self._open(self._part, self._part.endless_header if self._declares_less(self._part) else None)
            except soundfile.SoundFileError:
                if self._number + 1 == len(self._parts) or not self._is_mpeg(self._part):
                    raise
                left_out_bytes += self._part.size_bytes
            else:
                return left_out_bytes

    def _read(self, count: int) -> Any:
        """Read the next frames of the part, none at its end."""
        try:
            if self._is_mpeg_file:
                with capture_native_stderr() as messages:
                    frames = self._file.read(count, dtype=self._dtype, always_2d=True)
                self._note_messages(messages)
            else:
                frames = self._file.read(count, dtype=self._dtype, always_2d=True)
        except soundfile.SoundFileError as error:
            raise_read_error(self._view)
            if self._declared_was_read() or self._skip_damage():
                return np.zeros((0, self.channels), np.float32)
            raise self._truncated(
                f"{self._part.declared_samples or self._file.frames} samples",
                f"decoding stops after {self._end_sample}",
            ) from error
        if not len(frames):
            raise_read_error(self._view)
        return frames

    def _declared_was_read(self) -> bool:
        declared = self._part.declared_samples
        return declared is not None and not self._part.estimated and self._part_samples >= declared

    def _skip_damage(self) -> bool:
        """Continue an MPEG stream after bytes that are no frames; return False if there is no more."""
        if not self._is_mpeg_file:
            return False
        place = self._view.file_position
        rest = tuple(mpeg_parts(self._raw, place, self._part.end))
        if not rest:
            return False
        self._note_gap(rest[0].start - place)
        self._parts = (*self._parts[: self._number + 1], *rest, *self._parts[self._number + 1 :])
        return True

    def _note_gap(self, gap_bytes: int) -> None:
        self._damaged = True
        self.notes["damaged"] = (
            f"it is damaged after {self._end_sample / self.rate_hz:.3f} s: {gap_bytes} bytes are no MPEG audio and "
            "were left out. Copy the file again."
        )

    def _note_messages(self, messages: list[str]) -> None:
        """Note that mpg123 complained of a frame, whose sound then is silence or noise."""
        if messages:
            self.notes.setdefault(
                "damaged",
                f"it is damaged after {self._end_sample / self.rate_hz:.3f} s: a frame of MPEG audio does not decode "
                "rightly. Copy the file again.",
            )

    def _go_on(self) -> bool:
        """Open the rest of the part, or the next part; return False at the end of the file."""
        part = self._part
        if part.endless_header and not self._endless and self._view.left_bytes > END_BYTES:
            self._reopen_after(self._part_samples)
            return True
        self._check_whole(part)
        if self._number + 1 == len(self._parts):
            return False
        self._file.close()
        try:
            left_out_bytes = self._open_next() + self._part.gap_bytes
        except soundfile.SoundFileError as error:
            if self._is_mpeg(self._part):
                self._note_gap(self._part.size_bytes + self._part.gap_bytes)
                return False
            raise RecordingError(
                f"{self._path} is damaged after {self._end_sample / self.rate_hz:.3f} s: what follows cannot be "
                "decoded. All sound before that was read. Copy or record the file again for the rest.",
                "shorter than declared",
            ) from error
        if left_out_bytes:
            self._note_gap(left_out_bytes)
        if self._file.samplerate != self.rate_hz:
            raise SourceError(
                f"{self._path} holds several recordings: after {self._end_sample / self.rate_hz:.3f} s the rate "
                f"changes from {self.rate_hz} to {self._file.samplerate} Hz. All sound before that was read. Split the "
                "file, or convert it with `ffmpeg -i IN OUT.wav`."
            )
        return True

    def _declares_less(self, part: Part) -> bool:
        """Return True if the end of a FLAC stream has later samples than its header declares."""
        return part.declared_samples is not None and flac_end_sample(self._raw, part) > part.declared_samples

    def _reopen_after(self, samples: int) -> None:
        """Open the part without its declared length, and pass over samples that were read."""
        self._file.close()
        self._open(self._part, self._part.endless_header)
        with SearchProgress(self._raw, 0, samples) as progress:
            while self._part_samples < samples:
                progress.reach(self._part_samples)
                skipped = len(self._read(min(self.rate_hz, samples - self._part_samples)))
                if not skipped:
                    break
                self._part_samples += skipped

    def _check_whole(self, part: Part) -> None:
        """Compare a part that was read with its header.

        Raises:
            SourceError: The header declares more.
        """
        read, declared = self._part_samples, part.declared_samples
        if part.declared_bytes is not None and part.declared_bytes > part.size_bytes:
            raise self._truncated(
                f"{part.declared_bytes} bytes of sound", f"{part.size_bytes} are there ({read} samples)"
            )
        if part.declared_bytes is not None and read:
            declared = read * part.declared_bytes // max(1, part.size_bytes)
        if declared is None:
            # The last page of an Ogg file often counts some samples more than its packets hold.
            vague = part.estimated or self._damaged or self._file.format == "OGG"
            declared = read if vague or self._file.frames > _UNKNOWN_SAMPLES else self._file.frames
        if declared > read and not self._damaged:
            raise self._truncated(f"{declared} samples", f"{read} could be read")
        if declared < read:
            self.notes["longer than declared"] = (
                f"it is longer than its header declares: {declared / self.rate_hz:.3f} s are declared, "
                f"{read / self.rate_hz:.3f} s are there, and all of it was read."
            )
        if self._whole_file:
            for wanted, present in _SHORTER_THAN_DECLARED.findall(self._file.extra_info):
                if int(present) < int(wanted) < _STREAMED_BYTES:
                    raise self._truncated(f"{wanted} bytes of sound", f"{present} are there ({read} samples)")

    def _unreadable(self, error: OSError) -> SourceError:
        return SourceError(
            f"{self._path} cannot be read after {self._end_sample / self.rate_hz:.3f} s: {error.strerror}. All sound "
            "before that was read. Check its disk."
        )

    def _truncated(self, declared: str, found: str) -> RecordingError:
        return RecordingError(
            f"{self._path} is truncated or damaged: its header declares {declared}, but {found}. All sound before "
            "that was read. Copy or record the file again for the rest.",
            "shorter than declared",
        )
