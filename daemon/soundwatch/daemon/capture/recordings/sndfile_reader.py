"""Frames of an audio file that libsndfile reads, part after part.

Conventions: as for `capture/recordings/frame_reader.py`. A part is presented with a header that agrees with its bytes.
Source: libsndfile's log of the header, for formats without a layout in `capture/containers`.
Does not: read what only ffmpeg reads.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.capture.descriptors.quiet_stderr import capture_native_stderr
from soundwatch.daemon.capture.recordings import reader_errors as errors
from soundwatch.daemon.capture.recordings.containers import FileView, Part, find_parts
from soundwatch.daemon.capture.recordings.containers.flac import END_BYTES, flac_behind, flac_end_sample, flac_rest
from soundwatch.daemon.capture.recordings.containers.mpeg import mpeg_parts, parse_frame
from soundwatch.daemon.capture.recordings.containers.search import SearchProgress
from soundwatch.daemon.capture.recordings.declared_length import missing_sound
from soundwatch.daemon.capture.recordings.forward_sound import open_sound, raise_read_error
from soundwatch.daemon.capture.recordings.growth import GrowthWatch
from soundwatch.daemon.capture.recordings.reader_notes import ReaderNotes

_HEAD_BYTES: Final = 1024
_UNKNOWN_SAMPLES: Final = 2**40  # a decoder that does not know the length reports a number beyond this


class SndfileReader:
    """A file that libsndfile reads, part after part.

    Args:
        path: The file.
        pause: As for `GrowthWatch`.

    Raises:
        SourceError: The file cannot be read.
        soundfile.SoundFileError: libsndfile does not read the format.
    """

    def __init__(self, path: Path, pause: Callable[[float], bool] | None = None) -> None:
        self._path = path
        self._number = -1
        self._end_sample = 0
        self._damaged = False
        self._failure: soundfile.SoundFileError | None = None
        self.notes = ReaderNotes()
        left_out_bytes = self._open_first(pause)
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
            raise errors.unreadable(self._path, self._end_s, error) from error

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
                raise errors.unreadable(self._path, self._end_s, self._view.error) from error
            raise errors.truncated(self._path, f"{self._file.frames} samples", f"sample {sample} is missing") from error
        self._part_samples = self._end_sample = sample

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        self._closing()

    @property
    def _end_s(self) -> float:
        return self._end_sample / self.rate_hz

    @property
    def _part(self) -> Part:
        return self._parts[self._number]

    def _open_first(self, pause: Callable[[float], bool] | None) -> int:
        """Find the parts and open the first, as `_open_next`; close the file after an error."""
        try:
            with contextlib.ExitStack() as opened:
                self._raw = opened.enter_context(self._path.open("rb"))
                self._growth = GrowthWatch(self._raw, pause)
                size = self._raw.seek(0, 2)
                self._parts = find_parts(self._raw, size) or (Part(0, size),)
                self._whole_file = self._parts == (Part(0, size),)  # of a format without a layout, or with one part
                left_out_bytes = self._open_next()
                self._closing = weakref.finalize(self, opened.pop_all().close)
        except OSError as error:
            raise errors.unopenable(self._path, error) from error
        return left_out_bytes

    def _open(self, part: Part, header: bytes | None = None, *, behind_samples: int = 0) -> None:
        self._view = FileView(self._raw, part, header)
        self._file = open_sound(self._view)
        self._dtype = "int16" if self._file.subtype == "PCM_16" else "float32"
        self._is_mpeg_file = "MPEG" in self._file.subtype
        self._part_samples = self._behind_samples = behind_samples
        self._endless = header is not None

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
        """Read the next frames of the part, none at its end or before damage that is passed over."""
        failure, self._failure = self._failure, None
        if failure is None:
            buffer = np.zeros((count, self._file.channels), self._dtype)
            try:
                frames = self._decode(buffer)
            except soundfile.SoundFileError as error:
                raise_read_error(self._view)
                failure, frames = error, buffer[: self._count_decoded(count)]
            if len(frames):
                self._failure = failure
                return frames
        raise_read_error(self._view)
        if failure is not None and not self._view.left_bytes and self._follow_growth():  # it ended within a frame
            return self._read(count)
        if failure is not None and not (self._declared_was_read() or self._skip_damage()):
            if self._file.frames > _UNKNOWN_SAMPLES:
                raise errors.undecodable_rest(self._path, self._end_s) from failure
            declared = f"{self._part.declared_samples or self._file.frames} samples"
            raise errors.truncated(self._path, declared, f"decoding stops after {self._end_sample}") from failure
        return np.zeros((0, self.channels), np.float32)

    def _decode(self, buffer: Any) -> Any:
        if not self._is_mpeg_file:
            return self._file.read(len(buffer), out=buffer)
        with capture_native_stderr() as messages:
            frames = self._file.read(len(buffer), out=buffer)
        self.notes.decoder_messages(self._end_s, messages)
        return frames

    def _count_decoded(self, count: int) -> int:
        """Return the number of frames that a read of `count` gave before its error."""
        try:
            decoded = self._behind_samples + int(self._file.tell()) - self._part_samples
        except soundfile.SoundFileError:  # a codec without a position
            return 0
        return decoded if 0 < decoded <= count else 0

    def _declared_was_read(self) -> bool:
        declared = self._part.declared_samples
        return declared is not None and not self._part.estimated and self._part_samples >= declared

    def _skip_damage(self) -> bool:
        """Continue a stream of MPEG or FLAC after bytes that do not decode; return False if there is no more."""
        place = self._view.file_position
        rest: tuple[Part, ...] = ()
        if self._is_mpeg_file:
            rest = tuple(mpeg_parts(self._raw, place, self._part.end))
            if rest:
                self._note_gap(rest[0].start - place)
        elif self._part.endless_header:
            rest = tuple(flac_rest(self._raw, self._part, place - END_BYTES, self._part_samples))
            if rest:
                self._damaged = True
                lost_samples = rest[0].first_sample - self._part.first_sample - self._part_samples
                self.notes.undecoded(self._end_s, lost_samples / self.rate_hz)
        self._parts = (*self._parts[: self._number + 1], *rest, *self._parts[self._number + 1 :])
        return bool(rest)

    def _note_gap(self, gap_bytes: int) -> None:
        self._damaged = True
        self.notes.gap(self._end_s, gap_bytes)

    def _go_on(self) -> bool:
        """Open the rest of the part, or the next part; return False at the end of the file."""
        part = self._part
        if part.endless_header and not (self._endless or self._damaged) and self._view.left_bytes > END_BYTES:
            self._reopen_after(self._part_samples)
            return True
        if self._follow_growth():
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
            raise errors.undecodable_rest(self._path, self._end_s) from error
        if left_out_bytes:
            self._note_gap(left_out_bytes)
        if self._file.samplerate != self.rate_hz:
            raise errors.rate_changes(self._path, self._end_s, self.rate_hz, self._file.samplerate)
        return True

    def _follow_growth(self) -> bool:
        """Open a part that its writer has continued, behind the samples that were read; return False without one."""
        if not (parts := self._growth.wait_for_more(self._parts, self._number, self._file.subtype)):
            return False
        self._parts, samples = parts, self._part_samples
        rest = flac_behind(self._raw, self._part, self._view.file_position, samples)
        self._file.close()
        with contextlib.suppress(soundfile.SoundFileError):  # damaged, which a decoder tells that begins before it
            if rest is not None:
                self._open(rest, behind_samples=samples)
                return True
        if self._part.endless_header:
            self._reopen_after(samples)
        else:
            self._open(self._part)
            self._part_samples = self._file.seek(samples)
        return True

    def _declares_less(self, part: Part) -> bool:
        """Return True if the end of a FLAC stream has later samples than its header declares."""
        if part.declared_samples is None or not part.endless_header:
            return False
        return flac_end_sample(self._raw, part) > part.first_sample + part.declared_samples

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
            SourceError: The header declares more, or the file was shortened meanwhile.
        """
        if self._raw.seek(0, 2) < part.end:
            raise errors.shortened(self._path, self._end_s)
        read, declared = self._part_samples, part.declared_samples
        if part.declared_bytes is not None and part.declared_bytes > part.size_bytes:
            raise errors.truncated(
                self._path, f"{part.declared_bytes} bytes of sound", f"{part.size_bytes} are there ({read} samples)"
            )
        if part.declared_bytes is not None and read:
            declared = read * part.declared_bytes // max(1, part.size_bytes)
        if declared is None:
            # The last page of an Ogg file often counts some samples more than its packets hold.
            vague = part.estimated or self._damaged or self._file.format == "OGG"
            declared = read if vague or self._file.frames > _UNKNOWN_SAMPLES else self._file.frames
        self.notes.part_damage(part.damage)
        self.notes.changed(self._growth.change(self._parts))
        if declared > read and self._is_mpeg_file:  # its header has an estimate of some encoders
            self.notes.shorter(declared / self.rate_hz, read / self.rate_hz)
        elif declared > read and not self._damaged:
            raise errors.truncated(self._path, f"{declared} samples", f"{read} could be read")
        if declared < read:
            self.notes.longer(declared / self.rate_hz, read / self.rate_hz)
        if self._whole_file:
            self._raw.seek(0)
            if missing := missing_sound(self._file.format, self._file.extra_info, self._raw.read(_HEAD_BYTES), read):
                raise errors.truncated(self._path, *missing)
