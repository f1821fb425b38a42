"""Lines to standard output and to files.

Conventions: each line reaches the operating system before `write` returns. `json` is standard output, `json:PATH`
appends to a file, which is opened anew by its name when it was moved away or `reopen` is called.
Does not: decide what a failure means (`sinks/dispatcher.py`, `sinks/direct_writer.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import msgspec

from soundwatch.daemon.core.errors import ReaderClosedError, SinkError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.sinks.score_stream import ScoreStreamSink


class FileSink:
    """Lines appended to an open file, unbuffered. Safe to use from several threads.

    A full disk can take a part of a line. The next line that fits then starts on a line of its own, so that readers
    see at most one broken line.

    Args:
        name: As the log names it.
        file_descriptor: Of the open file.
        path: Where it is opened again; None for standard output, which is not closed here either.
    """

    def __init__(self, name: str, file_descriptor: int, path: Path | None = None) -> None:
        self.name = name
        self._file_descriptor = file_descriptor
        self._path = path
        self._torn = path is not None and _ends_torn(path)
        self._lock = threading.Lock()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Write lines, to the file that now has the name.

        Raises:
            OSError: None or a part of them was written.
            ReaderClosedError: The pipe has no reader any more.
        """
        if self._path is not None and self._moved():
            self.reopen()
        try:
            for entry in entries:
                self.write(entry.marked)
        except BrokenPipeError as error:
            raise ReaderClosedError(f"The reader of {self.name} has gone.") from error

    def reopen(self) -> None:
        """Open the file by its name, as after it was rotated.

        Raises:
            OSError: It cannot be.
        """
        if self._path is None:
            return
        with self._lock:
            fresh = _appending(self._path)
            os.close(self._file_descriptor)
            self._file_descriptor, self._torn = fresh, _ends_torn(self._path)

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises:
            OSError: None or a part of it was written.
        """
        with self._lock:
            text = b"\n" + line if self._torn else line
            while text:
                written = os.write(self._file_descriptor, text)
                if written == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                text = text[written:]
                self._torn = bool(text)

    def close(self) -> None:
        """Close the file, if it was opened here."""
        path, self._path = self._path, None
        if path is not None:
            os.close(self._file_descriptor)

    def _moved(self) -> bool:
        """Whether the name means another file by now, or none."""
        assert self._path is not None
        ours = os.fstat(self._file_descriptor)
        with contextlib.suppress(FileNotFoundError):
            there = self._path.stat()
            return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
        return True


class JsonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `json` can be told.

    Attributes:
        scores: Whether to write a `scores` line for each window too.
    """

    scores: bool = False


def open_json(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `json` or `json:PATH`.

    Raises:
        ConfigError: An option is wrong.
        SinkError: The file cannot be opened.
    """
    options = parse_options(spec, JsonOptions)
    file = open_file(spec.target)
    sink = ScoreStreamSink(file, sink_context.live, sink_context.node) if options.scores else file
    return OpenedSink(sink, durable=bool(spec.target))


def open_file(path_text: str) -> FileSink:
    """Standard output, or the file of this path.

    Raises:
        SinkError: The file cannot be opened.
    """
    if not path_text:
        return FileSink("stdout", sys.stdout.fileno())
    path = Path(path_text)
    try:
        return FileSink(path_text, _appending(path), path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be opened for events: {error.strerror}. Give a file in a folder that exists and that "
            "this user may write to."
        ) from error


def _appending(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0), 0o644)


def _ends_torn(path: Path) -> bool:
    """Whether a file ends within a line, since a program was killed while its disk was full."""
    if not path.is_file() or not path.stat().st_size:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
