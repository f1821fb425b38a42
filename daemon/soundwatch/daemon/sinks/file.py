"""Lines to standard output, to files, to named pipes and to devices.

Conventions: each line reaches the operating system before `write` returns. `json` is standard output, `json:PATH`
appends to a path. A file that was renamed or removed is opened again by its path before the next line.
Rule for paths that are no regular files: they are opened and written without blocking. A pipe without a reader is a
failure, and is tried again; a pipe that is full is waited for `STALL_S` at a time.
Does not: decide what a failure means (`sinks/worker.py`).
"""

from __future__ import annotations

import codecs
import contextlib
import errno
import os
import select
import stat
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.core.errors import ReaderClosedError, SinkError
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.live_stream import LiveStreamSink
from soundwatch.daemon.sinks.place import file_place
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec

STALL_S: Final = 5.0
POLL_S: Final = 0.2
HEAD_BYTES: Final = 64
_FLAGS: Final = (
    os.O_WRONLY
    | os.O_APPEND
    | getattr(os, "O_NONBLOCK", 0)  # a pipe without a reader, a device that is not ready
    | getattr(os, "O_NOCTTY", 0)  # a terminal that is a file of events does not become ours
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)


class FileSink:
    """Lines appended to an open file, unbuffered. Safe to use from several threads.

    A full disk can take a part of a line. The next line that fits then starts on its own line, so that readers
    see at most one broken line.

    Args:
        name: Name in the log.
        file_descriptor: Descriptor of the open file.
        path: Path that is opened again; None for standard output, which is not closed here either.
    """

    def __init__(self, name: str, file_descriptor: int, path: Path | None = None) -> None:
        self.name = name
        self._file_descriptor: int | None = file_descriptor
        self._path = path
        self._torn = path is not None and _ends_torn(path)
        self._lock = threading.Lock()  # guards the descriptor
        self._closed = threading.Event()
        self.on_settled: Callable[[int], object] = lambda _: None

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Write lines to the file that has the path now.

        Raises:
            OSError: None or a part of the lines was written.
            ReaderClosedError: Standard output has no reader any more.
        """
        if self._path is not None and self._is_replaced():
            self.reopen()
        try:
            for entry in entries:
                self.write(entry.encoded)
                self.on_settled(entry.seq)
        except BrokenPipeError as error:
            if self._path is None:
                raise ReaderClosedError(f"The reader of {self.name} has gone.") from error
            self._release()  # a named pipe may get another reader
            raise OSError(errno.EPIPE, "the reader of this pipe has gone") from error

    def reopen(self) -> None:
        """Open the file by its path, as after a rotation.

        Raises:
            OSError: The path cannot be opened.
        """
        if self._path is None:
            return
        descriptor, torn = _open_for_append(self._path), _ends_torn(self._path)
        with self._lock:
            if self._closed.is_set():
                os.close(descriptor)
                return
            previous, self._file_descriptor, self._torn = self._file_descriptor, descriptor, torn
        if previous is not None:
            os.close(previous)

    def write(self, line: bytes) -> None:
        """Write one line.

        Raises:
            OSError: None or a part of the line was written.
        """
        with self._lock:
            if self._file_descriptor is None:
                raise OSError(errno.EBADF, "the file is closed")
            text = b"\n" + line if self._torn else line
            waited_from_s: float | None = None
            while text:
                try:
                    written = os.write(self._file_descriptor, text)
                except BlockingIOError:
                    waited_from_s = waited_from_s or time.monotonic()
                    self._wait_writable(self._file_descriptor, waited_from_s)
                    continue
                if written == 0:
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                waited_from_s = None
                text = text[written:]
                self._torn = bool(text)

    def close(self) -> None:
        """Close the file if it was opened here."""
        self._closed.set()
        if self._path is not None:
            self._release()

    def _release(self) -> None:
        with self._lock:
            descriptor, self._file_descriptor = self._file_descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def _wait_writable(self, descriptor: int, since_s: float) -> None:
        """Wait a moment for a reader that is slow.

        Raises:
            OSError: The reader took nothing for `STALL_S`, or the sink was closed.
        """
        if self._closed.is_set():
            raise InterruptedError("soundwatch is being stopped")
        if time.monotonic() > since_s + STALL_S:
            raise OSError(errno.EAGAIN, f"the reader took nothing for {STALL_S:g} s")
        poll = select.poll()
        poll.register(descriptor, select.POLLOUT)
        poll.poll(POLL_S * 1000)

    def _is_replaced(self) -> bool:
        """Return whether the path names another file by now, or none, or the open one is lost with a network share."""
        assert self._path is not None
        if self._file_descriptor is None:
            return True
        try:
            ours = os.fstat(self._file_descriptor)
        except OSError:
            return True
        with contextlib.suppress(FileNotFoundError):
            there = self._path.stat()
            return (there.st_dev, there.st_ino) != (ours.st_dev, ours.st_ino)
        return True


class JsonOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `json`.

    Attributes:
        scores: Write a `scores` line for each window too.
        level: Write a `level` line for each second too.
    """

    scores: bool = False
    level: bool = False


def prepare_json(spec: SinkSpec, options: JsonOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `json` or `json:PATH`."""

    def open_() -> FileSink | LiveStreamSink:
        file, scores, level = open_file(spec.target), options.scores, options.level
        return LiveStreamSink(file, view.live, view.node, scores=scores, level=level) if scores or level else file

    return PreparedSink(
        name=spec.target or "stdout",
        place=file_place(spec.target),
        open=open_,
        check=lambda: _check(spec.target),
        durable=bool(spec.target),
    )


def open_file(path_text: str) -> FileSink:
    """Open standard output, or the file of a path.

    Raises:
        SinkError: The file cannot be opened, or is no text.
    """
    if not path_text:
        return FileSink("stdout", sys.stdout.fileno())
    path = Path(path_text)
    _check_text(path)
    try:
        return FileSink(path_text, _open_for_append(path), path)
    except OSError as error:
        raise SinkError(
            f"{path} cannot be opened for events: {error.strerror}. Give a file in a folder that exists and that "
            "this user may write to."
        ) from error


def _check(path_text: str) -> None:
    """Check that a path can be written to, and create nothing.

    Raises:
        SinkError: The path cannot be written to.
    """
    if not path_text:
        return
    path = Path(path_text)
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        if path.parent.is_dir() and os.access(path.parent, os.W_OK | os.X_OK):
            return
        reason = "is not there and cannot be made"
    except OSError as error:
        reason = f"cannot be looked at: {error.strerror}"
    else:
        if not stat.S_ISDIR(mode) and not stat.S_ISSOCK(mode) and os.access(path, os.W_OK):
            _check_text(path)
            return
        kind = {stat.S_IFDIR: "is a folder", stat.S_IFSOCK: "is a socket"}
        reason = kind.get(stat.S_IFMT(mode), "cannot be written to by this user")
    raise SinkError(f"{path} {reason}. Give a file in a folder that exists and that this user may write to.")


def _check_text(path: Path) -> None:
    """Refuse a regular file that is no text, such as a recording: lines would damage it.

    A loss of power can leave zeros where the text of a new file was; such a file is accepted.

    Raises:
        SinkError: The file is no text.
    """
    head = b""
    with contextlib.suppress(OSError):  # a file that may be written and not read; others fail when they are opened
        if path.is_file():
            with path.open("rb") as file:
                head = file.read(HEAD_BYTES)
    if not head.strip(b"\0"):
        return
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
        is_text = b"\0" not in head
    except UnicodeDecodeError:
        is_text = False
    if not is_text:
        raise SinkError(f"{path} is no text file, and lines of events would damage it. Give another file.")


def _open_for_append(path: Path) -> int:
    """Open a path without blocking.

    Raises:
        OSError: The path cannot be opened; for a pipe, it has no reader.
    """
    try:
        try:
            return os.open(path, _FLAGS)
        except FileNotFoundError:  # made only where it is missing: O_CREAT on another user's pipe is refused
            return os.open(path, _FLAGS | os.O_CREAT, 0o600)
    except OSError as error:
        if error.errno != errno.ENXIO:
            raise
        is_pipe = path.is_fifo()
        text = "this pipe has no reader" if is_pipe else "this is a socket, or a device that is not there"
        raise OSError(errno.ENXIO, text) from error


def _ends_torn(path: Path) -> bool:
    """Return whether a regular file ends within a line, since a program was killed while its disk was full."""
    if not path.is_file() or not path.stat().st_size:
        return False
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except PermissionError:  # a file that may be written and not read
        return False
