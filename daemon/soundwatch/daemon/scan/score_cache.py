"""Cache of a scan's scores in one file next to the output, so that the scan can be resumed.

Conventions: records are appended, each after its length and checksum. A kill or a power failure can damage only the
last record, which is then computed again. Path, size and time of change identify a recording. Memory holds the offsets
of the records, not their content.
Does not: remove the file after a complete scan (`scan/job.py`).
"""

from __future__ import annotations

import contextlib
import struct
import zlib
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

import msgspec

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.paths import is_file, is_there
from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.discover import RecordingFile
from soundwatch.daemon.scan.worker import ChunkScores

SCHEMA: Final = "soundwatch.scan/1"
_FRAME: Final = struct.Struct("<II")  # bytes of the record, and their CRC-32


class _Head(msgspec.Struct, frozen=True):
    schema: str
    model: str


class _Record(msgspec.Struct, frozen=True):
    path: str
    size_bytes: int
    modified_ns: int
    first_window: int
    end_window: int | None
    scores: ChunkScores


@dataclass(frozen=True, slots=True)
class _Entry:
    """Offset of a record, and the values that decide whether its recording is complete."""

    offset: int
    end_window: int | None
    succeeded: bool
    head: bytes
    tail: bytes


class ScoreCache:
    """Computed scores by recording and chunk.

    Args:
        path: The file; created if there is none.
        model: Identity of the model that computes the scores.

    Raises:
        ConfigError: The file holds another model's scores, is not a cache, or is used by another scan.
        SinkError: The file cannot be written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        self.provider = ""  # provider of the scores
        self._entries: dict[tuple[str, int, int], dict[int, _Entry]] = {}
        if is_there(path) and not is_file(path):
            raise SinkError(f"{path} is no regular file, so a scan cannot store its scores there. Name another --out.")
        try:
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise SinkError(
                f"{path} cannot be written: {error.strerror}. A scan stores its scores in this file until it is "
                "complete; name an --out in an existing folder with write permission."
            ) from error
        try:
            _lock(self._file, path)
            self._read(model)
        except BaseException:
            self.close()
            raise

    def add(self, recording: RecordingFile, chunk: Chunk, scores: ChunkScores) -> None:
        """Store a chunk's scores; when the call returns, they survive a kill of the program.

        Raises:
            SinkError: The file cannot be written.
        """
        record = _Record(
            str(recording.path),
            recording.size_bytes,
            recording.modified_ns,
            chunk.first_window,
            chunk.end_window,
            scores,
        )
        offset = self._file.seek(0, 2)
        self._write(msgspec.msgpack.encode(record))
        self._note(record, offset)

    def missing(self, recording: RecordingFile, chunks: list[Chunk]) -> list[Chunk]:
        """Return those of a recording's chunks that have no scores, or failed the last time."""
        entries = self._entries.get(_key(recording), {})
        whole = entries.get(0)
        if whole is not None and whole.end_window is None and whole.succeeded:
            return []
        return [chunk for chunk in chunks if not _is_complete(entries.get(chunk.first_window), chunk)]

    def is_joined(self, recording: RecordingFile, chunks: list[Chunk]) -> bool:
        """Return True if all chunks are present and their digests match, or one chunk is the whole recording."""
        entries = self._entries.get(_key(recording), {})
        if 0 in entries and entries[0].end_window is None:
            return True
        if self.missing(recording, chunks):
            return False
        ordered = [entries[chunk.first_window] for chunk in chunks]
        return all(previous.tail == following.head for previous, following in pairwise(ordered))

    def of(self, recording: RecordingFile) -> list[ChunkScores]:
        """Return a recording's scores, in the order of its chunks."""
        entries = self._entries.get(_key(recording), {})
        scores, window = list[ChunkScores](), 0
        while (entry := entries.get(window)) is not None:
            scores.append(self._at(entry.offset).scores)
            if entry.end_window is None:
                break
            window = entry.end_window
        return scores

    def close(self) -> None:
        """Close the file and release its lock; `add` has reported what could not be written."""
        with contextlib.suppress(OSError):  # the rest of a failed write
            self._file.close()

    def remove(self) -> None:
        """Remove the file after a complete scan."""
        self.path.unlink(missing_ok=True)
        self.close()

    def _read(self, model: str) -> None:
        """Read all records, and truncate the file at the first damaged one."""
        self._file.seek(0)
        content = self._next()
        if content is None:
            if self._file.seek(0, 2) > _FRAME.size + len(SCHEMA):
                raise ConfigError(f"{self.path} exists and is no file of a scan. Move it, or name another --out.")
            self._start(model)
            return
        head = msgspec.msgpack.decode(content, type=_Head)
        if head != _Head(SCHEMA, model):
            if self._next() is None:  # a scan that failed before its first scores
                self._start(model)
                return
            raise ConfigError(
                f"{self.path} holds scores of {head.model} ({head.schema}) from an unfinished scan; this scan uses "
                f"{model} ({SCHEMA}). Use that model, or name another --out; or remove the file to start again."
            )
        while True:
            offset = self._file.tell()
            content = self._next()
            if content is None:
                break
            self._note(msgspec.msgpack.decode(content, type=_Record), offset)
        self._file.truncate(offset)

    def _start(self, model: str) -> None:
        """Make an empty file for the scores of a model."""
        self._file.truncate(0)
        self._write(msgspec.msgpack.encode(_Head(SCHEMA, model)))

    def _next(self) -> bytes | None:
        """Return the bytes of the next record; None if there is no intact one, as where a power loss left zeros."""
        frame = self._file.read(_FRAME.size)
        if len(frame) < _FRAME.size:
            return None
        length, checksum = _FRAME.unpack(frame)
        content = self._file.read(length)
        return content if 0 < len(content) == length and zlib.crc32(content) == checksum else None

    def _at(self, offset: int) -> _Record:
        self._file.seek(offset)
        content = self._next()
        if content is None:
            raise SinkError(f"{self.path} was changed while the scan wrote to it. Remove it, and start again.")
        return msgspec.msgpack.decode(content, type=_Record)

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(_FRAME.pack(len(content), zlib.crc32(content)) + content)
            self._file.flush()
        except OSError as error:
            raise SinkError(
                f"Scores cannot be written to {self.path}: {error.strerror}. Free disk space and run this command "
                "again; it resumes the scan."
            ) from error

    def _note(self, record: _Record, offset: int) -> None:
        """Store a record's offset; a record of the whole recording replaces those of its chunks."""
        entries = self._entries.setdefault((record.path, record.size_bytes, record.modified_ns), {})
        if record.first_window == 0 and record.end_window is None:
            entries.clear()
        scores = record.scores
        self.provider = scores.provider or self.provider
        entries[record.first_window] = _Entry(
            offset, record.end_window, scores.failure is None, scores.head, scores.tail
        )


def _key(recording: RecordingFile) -> tuple[str, int, int]:
    return str(recording.path), recording.size_bytes, recording.modified_ns


def _is_complete(entry: _Entry | None, chunk: Chunk) -> bool:
    return entry is not None and entry.succeeded and entry.end_window == chunk.end_window


def _lock(file: BinaryIO, path: Path) -> None:
    """Lock the file against other scans, on systems with file locks."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"Another scan is writing to {path}. Wait for it, or name another --out.") from error
