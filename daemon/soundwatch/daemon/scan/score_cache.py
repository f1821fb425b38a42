"""All scores of a scan so far, in one file beside its output: what makes it resumable.

Conventions: records are only ever appended, each with its length and checksum before it, so that whatever a kill or a
power cut tears is the last record, and is scored again. A recording is known again by path, size and time of change.
Memory holds where each record lies, not what it says.
Does not: delete itself; who has the output in place does (`scan/job.py`).
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
class _Place:
    """Where a record lies, and what of it decides whether its recording is complete."""

    offset: int
    end_window: int | None
    sound: bool
    head: bytes
    tail: bytes


class ScoreCache:
    """Scores that were computed, by recording and piece.

    Args:
        path: The file; made if it is not there.
        model: Identity of the model that computes them.

    Raises:
        ConfigError: It holds another model's scores, is none of ours, or another scan writes to it.
        SinkError: It cannot be written.
    """

    def __init__(self, path: Path, model: str) -> None:
        self.path = path
        self.provider = ""  # what computed them
        self._places: dict[tuple[str, int, int], dict[int, _Place]] = {}
        try:
            self._file: BinaryIO = path.open("a+b")
        except OSError as error:
            raise SinkError(
                f"{path} cannot be written: {error.strerror}. Scores are kept there until a scan is done; give an "
                "--out in a folder that exists and that this user may write to."
            ) from error
        try:
            _lock(self._file, path)
            self._read(model)
        except BaseException:
            self._file.close()
            raise

    def add(self, found: RecordingFile, piece: Chunk, scores: ChunkScores) -> None:
        """Keep a piece's scores. Once this returns, killing the program loses nothing of them.

        Raises:
            SinkError: They cannot be written.
        """
        record = _Record(
            str(found.path), found.size_bytes, found.modified_ns, piece.first_window, piece.end_window, scores
        )
        offset = self._file.seek(0, 2)
        self._write(msgspec.msgpack.encode(record))
        self._note(record, offset)

    def missing(self, found: RecordingFile, pieces: list[Chunk]) -> list[Chunk]:
        """Those of a recording's pieces that have no scores, or that failed when they were last tried."""
        places = self._places.get(_key(found), {})
        whole = places.get(0)
        if whole is not None and whole.end_window is None and whole.sound:
            return []
        return [piece for piece in pieces if not _is_there(places.get(piece.first_window), piece)]

    def is_joined(self, found: RecordingFile, pieces: list[Chunk]) -> bool:
        """Whether a recording's pieces are all there and agree on the sound that they share, or one has it all."""
        places = self._places.get(_key(found), {})
        if 0 in places and places[0].end_window is None:
            return True
        if self.missing(found, pieces):
            return False
        kept = [places[piece.first_window] for piece in pieces]
        return all(one.tail == other.head for one, other in pairwise(kept))

    def of(self, found: RecordingFile) -> list[ChunkScores]:
        """A recording's scores, piece after piece."""
        places = self._places.get(_key(found), {})
        kept, window = list[ChunkScores](), 0
        while (place := places.get(window)) is not None:
            kept.append(self._at(place.offset).scores)
            if place.end_window is None:
                break
            window = place.end_window
        return kept

    def close(self) -> None:
        """Let another scan have it."""
        self._file.close()

    def remove(self) -> None:
        """All is done: nothing is to go on."""
        self.path.unlink(missing_ok=True)
        self._file.close()

    def _read(self, model: str) -> None:
        """Go through what is there, and cut off what was torn."""
        self._file.seek(0)
        content = self._next()
        if content is None:
            if self._file.seek(0, 2) > _FRAME.size + len(SCHEMA):
                raise ConfigError(f"{self.path} is in the way: no scan wrote it. Move it, or give another --out.")
            self._file.truncate(0)
            self._write(msgspec.msgpack.encode(_Head(SCHEMA, model)))
            return
        head = msgspec.msgpack.decode(content, type=_Head)
        if head != _Head(SCHEMA, model):
            raise ConfigError(
                f"{self.path} holds scores by {head.model} ({head.schema}) of a scan that was not done, and {model} "
                f"({SCHEMA}) is to go on. Give the same model, or another --out; or remove the file to begin anew."
            )
        while True:
            offset = self._file.tell()
            content = self._next()
            if content is None:
                break
            self._note(msgspec.msgpack.decode(content, type=_Record), offset)
        self._file.truncate(offset)

    def _next(self) -> bytes | None:
        """The next record's bytes; None where there is none that is whole."""
        frame = self._file.read(_FRAME.size)
        if len(frame) < _FRAME.size:
            return None
        length, checksum = _FRAME.unpack(frame)
        content = self._file.read(length)
        return content if len(content) == length and zlib.crc32(content) == checksum else None

    def _at(self, offset: int) -> _Record:
        self._file.seek(offset)
        content = self._next()
        if content is None:
            raise SinkError(f"{self.path} was changed while the scan wrote to it. Remove it, and begin anew.")
        return msgspec.msgpack.decode(content, type=_Record)

    def _write(self, content: bytes) -> None:
        try:
            self._file.write(_FRAME.pack(len(content), zlib.crc32(content)) + content)
            self._file.flush()
        except OSError as error:
            raise SinkError(
                f"Scores cannot be written to {self.path}: {error.strerror}. Make room and run the same command "
                "again; it goes on where it stopped."
            ) from error

    def _note(self, record: _Record, offset: int) -> None:
        """Remember where a record is; one of the whole recording takes the place of all its pieces."""
        places = self._places.setdefault((record.path, record.size_bytes, record.modified_ns), {})
        if record.first_window == 0 and record.end_window is None:
            places.clear()
        scores = record.scores
        self.provider = scores.provider or self.provider
        places[record.first_window] = _Place(
            offset, record.end_window, scores.failure is None, scores.head, scores.tail
        )


def _key(found: RecordingFile) -> tuple[str, int, int]:
    return str(found.path), found.size_bytes, found.modified_ns


def _is_there(place: _Place | None, piece: Chunk) -> bool:
    return place is not None and place.sound and place.end_window == piece.end_window


def _lock(file: BinaryIO, path: Path) -> None:
    """Keep other scans from writing to the same file, where the system can."""
    with contextlib.suppress(ImportError):
        import fcntl

        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigError(f"Another scan is writing to {path}. Wait for it, or give another --out.") from error
