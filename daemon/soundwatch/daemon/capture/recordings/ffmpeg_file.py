"""Local files that only the program ffmpeg reads: M4A, MP4, WebM, WMA, AMR and others.

Conventions: ffmpeg decodes the first audio stream and writes an AU stream of float32 on a pipe; its header has the rate
and the channels. Only formats of media are allowed, and only local files, so that a playlist opens nothing else.
Does not: seek, or know a file's length before its end.
"""

from __future__ import annotations

import os
import re
import shutil
import struct
import subprocess
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any, Final

import numpy as np

from soundwatch.daemon.capture.recordings.containers import Part
from soundwatch.daemon.capture.recordings.declared_length import ffmpeg_length_s
from soundwatch.daemon.capture.recordings.reader_errors import truncated
from soundwatch.daemon.capture.recordings.reader_notes import ReaderNotes
from soundwatch.daemon.capture.samples.recording_error import RecordingError
from soundwatch.daemon.core.errors import SourceError

FFMPEG_SUFFIXES: Final = frozenset((
    ".m4a", ".m4b", ".mp4", ".m4v", ".mov", ".3gp", ".3g2", ".webm", ".mkv", ".mka", ".wma", ".wmv", ".asf",
    ".amr", ".awb", ".aac", ".ac3", ".eac3", ".avi", ".flv", ".mts", ".mpg", ".mpeg", ".wv", ".tta", ".ape",
    ".dts"
))  # fmt: skip
_FORMATS: Final = (
    "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,asf,amr,amrnb,amrwb,aac,ac3,eac3,avi,flv,mpeg,mpegts,mp3,ogg,flac,wav,w64,"
    "aiff,au,caf,voc,wv,tta,ape,dts,dtshd,truehd,dsf,iff,nut,rm,tak,mpc,mpc8,gsm,loas,latm,mxf,gxf,wtv,swf,spdif,oma"
)
_AU_HEADER: Final = struct.Struct(">4s5I")
_ADDRESS: Final = re.compile(r"^(\[[^]]* @ 0x[0-9a-f]+\] )+")  # of a part of ffmpeg, other in each run
_SLACK_S: Final = 0.2  # encoders add some packets of silence, and leave them out of the length or not
_STOP_S: Final = 5.0
_KEPT_BYTES: Final = 8192
_NO_STREAM: Final = "matches no streams"


def install_advice() -> str:
    """Return how to install ffmpeg."""
    return "`sudo apt-get install ffmpeg` on Debian and Ubuntu. Or convert the file where ffmpeg is."


class FfmpegReader:
    """A file that ffmpeg decodes.

    Args:
        path: The file.
        parts: Its parts, if its layout is known.

    Raises:
        FileNotFoundError: ffmpeg is not installed.
        RecordingError: The file has no audio stream.
        SourceError: ffmpeg does not read the file; the message is ffmpeg's.
    """

    def __init__(self, path: Path, parts: Sequence[Part] = ()) -> None:
        program = shutil.which("ffmpeg")
        if program is None:
            raise FileNotFoundError("ffmpeg")
        self._path = path
        self._parts = parts
        source = ("-protocol_whitelist", "file", "-format_whitelist", _FORMATS, "-i", f"file:{path}")
        output = ("-map", "0:a:0", "-f", "au", "-c:a", "pcm_f32be", "pipe:1")
        self._process = subprocess.Popen(  # noqa: S603 -- a list, with the path as one argument
            [program, "-nostdin", "-hide_banner", "-loglevel", "error", *source, *output],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # the daemon handles a terminal's Ctrl-C
        )
        assert self._process.stderr is not None
        self._messages = _LastMessages(self._process.stderr)
        self._closing = weakref.finalize(self, _end, self._process, self._messages)
        self.notes = ReaderNotes()
        self.samples: int | None = None
        self._end_sample = 0
        header = self._receive(_AU_HEADER.size)
        if len(header) < _AU_HEADER.size:
            self._process.wait()
            reason = self._last_message()
            no_stream = _NO_STREAM in self._messages.text()
            self.close()
            if no_stream:
                raise RecordingError(f"{path} has no sound, such as a video without any. Give another file.", "empty")
            raise SourceError(reason or "no reason.")
        _, offset, _, _, self.rate_hz, self.channels = _AU_HEADER.unpack(header)
        self._receive(offset - _AU_HEADER.size)
        self.encoding = f"{path.suffix.lstrip('.').upper()} by ffmpeg"

    def read(self, count: int) -> Any:
        """Read frames, as in `FrameReader`."""
        frame_bytes = 4 * self.channels
        content = self._receive(count * frame_bytes)
        frames = np.frombuffer(content[: len(content) // frame_bytes * frame_bytes], ">f4").reshape(-1, self.channels)
        self._end_sample += len(frames)
        if not len(frames):
            self._check_end()
        return frames

    def seek(self, sample: int) -> None:
        """Refuse to seek.

        Raises:
            SourceError: Always, but at the start.
        """
        if sample:
            raise SourceError(f"{self._path} is read from its start only; sample {sample} was requested.")

    def close(self) -> None:
        """End the program."""
        self._closing()

    def _receive(self, count: int) -> bytes:
        assert self._process.stdout is not None
        return self._process.stdout.read(count)

    def _check_end(self) -> None:
        """Report ffmpeg's messages at the end.

        Raises:
            SourceError: ffmpeg failed, or found no samples.
        """
        code, message = self._process.wait(), self._last_message()
        if not self._end_sample:
            raise RecordingError(
                f"{self._path} contains a header but no sound (0 samples). Copy or record it again.", "empty"
            )
        if code:
            raise RecordingError(
                f"{self._path} is truncated or damaged: ffmpeg stops after {self._end_sample / self.rate_hz:.3f} s: "
                f"{message} All sound before that was read. Copy or record the file again for the rest.",
                "shorter than declared",
            )
        for part in self._parts:
            self.notes.part_damage(part.damage)
        if message and not self.notes:
            self.notes["damaged"] = f"it is damaged in places, ffmpeg says: {message}"
        for part in self._parts:
            if part.declared_bytes is not None and part.declared_bytes > part.size_bytes:
                found = f"{part.size_bytes} are there ({self._end_sample} samples)"
                raise truncated(self._path, f"{part.declared_bytes} bytes of sound", found)
        declared_s, read_s = ffmpeg_length_s(self._path, _FORMATS), self._end_sample / self.rate_hz
        if declared_s is not None and declared_s - read_s > _SLACK_S:
            self.notes.shorter(declared_s, read_s)

    def _last_message(self) -> str:
        lines = self._messages.text().splitlines()
        shown = [line.strip() for line in lines if line.strip()]
        return f"{_ADDRESS.sub('', shown[-1]).removeprefix(f'file:{self._path}: ').rstrip('.')}." if shown else ""


class _LastMessages:
    """The last messages of a program, which may print one for each damaged packet of a file.

    Args:
        pipe: The program's standard error.
    """

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._kept = b""
        self._reader = threading.Thread(target=self._read, name="ffmpeg-messages", daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while content := os.read(self._pipe.fileno(), _KEPT_BYTES):
            self._kept = (self._kept + content)[-_KEPT_BYTES:]

    def text(self) -> str:
        """Return the last messages of a program that has ended."""
        self._reader.join(_STOP_S)
        return self._kept.decode(errors="replace")

    def close(self) -> None:
        """Close the pipe of a program that has ended."""
        self._reader.join(_STOP_S)
        if not self._reader.is_alive():
            self._pipe.close()


def _end(process: subprocess.Popen[bytes], messages: _LastMessages) -> None:
    """End a program and close its pipes."""
    process.kill()
    process.wait(_STOP_S)
    if process.stdout is not None:
        process.stdout.close()
    messages.close()
