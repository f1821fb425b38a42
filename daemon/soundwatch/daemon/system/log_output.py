"""The log's output: standard error or the system's journal, behind a bounded queue with its own thread.

Conventions: pretty on a terminal, journal fields under systemd, JSON elsewhere. A caller never waits and never sees an
error: a full queue or a failed write loses the entry, lost entries are counted, and `log_entries_lost` reports the
count once writing works. Bytes go straight to descriptor 2, since a thread that waits inside a buffered stream keeps
the interpreter from ending.
Does not: make entries (`log.py`).
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Final

import msgspec

from soundwatch.daemon.config.config import LogConfig
from soundwatch.daemon.core.process.program_log import use_program_log
from soundwatch.daemon.core.time.clock import format_datetime
from soundwatch.daemon.system import journald
from soundwatch.daemon.system.log import LogEntry, StructuredLogger

MAX_QUEUED_ENTRIES: Final = 1000
DRAIN_S: Final = 1.0
_STDERR: Final = 2
_COLORS: Final = {"debug": "32", "info": "32", "warning": "33", "error": "31"}


@contextlib.contextmanager
def open_logger(config: LogConfig) -> Iterator[StructuredLogger]:
    """Provide a logger that writes to standard error as configured; waiting entries are written at the end."""
    terminal = sys.stderr.isatty()
    pretty = config.format == "pretty" or (config.format == "auto" and terminal)
    in_journal = journald.stderr_is_journal()
    output = QueuedOutput(StderrOutput(pretty, wants_colors(), in_journal and config.format == "auto", in_journal))
    log, before = StructuredLogger(config.level, output), threading.excepthook

    def report(failed: threading.ExceptHookArgs) -> None:
        """Log the failure of a thread that has no guard, instead of a traceback."""
        name = failed.thread.name if failed.thread is not None else ""
        error = f"{failed.exc_type.__name__}: {failed.exc_value}"
        log.error("thread_failed", thread=name, error=error, at=_place(failed.exc_traceback))

    threading.excepthook = report
    try:
        with use_program_log(log):
            yield log
    finally:
        threading.excepthook = before
        output.close()


@contextlib.contextmanager
def command_log() -> Iterator[None]:
    """Provide the program's log for a command that opens none: lines for people on standard error."""
    output = QueuedOutput(StderrOutput(pretty=True, colored=wants_colors()))
    try:
        with use_program_log(StructuredLogger("info", output)):
            yield
    finally:
        output.close()


def wants_colors() -> bool:
    """Return True if standard error is a terminal with colors, and NO_COLOR (no-color.org) is unset or empty."""
    return sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def _place(traceback: TracebackType | None) -> str:
    """Return the file and the line at which an exception was raised."""
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    return "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"


@dataclass(frozen=True, slots=True)
class StderrOutput:
    """Standard error, or the system's journal behind it.

    Attributes:
        pretty: Lines for people instead of JSON.
        colored: With terminal colors.
        to_journal: Send to the system's journal where it accepts entries.
        prefixed: Start each line with its priority for the journal, to which standard error leads.
    """

    pretty: bool
    colored: bool
    to_journal: bool = False
    prefixed: bool = False

    def __call__(self, entry: LogEntry) -> None:
        """Write one entry.

        Raises:
            OSError: Standard error does not accept it.
        """
        if self.to_journal and journald.send(entry.level, entry.event, entry.fields):
            return
        text = self._pretty(entry) if self.pretty else _json(entry)
        text = f"<{journald.PRIORITIES[entry.level]}>{text}" if self.prefixed else text
        write_stderr(text.encode() + b"\n")

    def _pretty(self, entry: LogEntry) -> str:
        level = f"{entry.level:<8}"
        shown = f"\x1b[{_COLORS[entry.level]}m{level}\x1b[0m" if self.colored else level
        fields = (f"{key}={entry.fields[key]!r}" for key in sorted(entry.fields))
        return " ".join([f"{entry.timestamp} [{shown}] {entry.event}", *fields])


class QueuedOutput:
    """A bounded queue before an output, and the thread that writes. Safe to call from every thread.

    Args:
        write: Writes one entry; may wait, may raise OSError.
        limit: Largest number of entries that wait.
    """

    def __init__(self, write: Callable[[LogEntry], object], limit: int = MAX_QUEUED_ENTRIES) -> None:
        self._write = write
        self._entries = queue.Queue[LogEntry | None](limit)
        self._lock = threading.Lock()
        self._lost_entries = 0
        self._thread: threading.Thread | None = None

    def __call__(self, entry: LogEntry) -> None:
        """Accept an entry, or count it as lost."""
        with self._lock:
            if self._thread is None:
                thread = threading.Thread(target=self._run, name="log", daemon=True)
                try:
                    thread.start()
                    self._thread = thread
                except RuntimeError:  # no thread can be started now; the entry waits for the next one
                    pass
        try:
            self._entries.put_nowait(entry)
        except queue.Full:
            self._lose(1)

    def close(self, patience_s: float = DRAIN_S) -> None:
        """Write the entries that wait, but not for longer than this."""
        if self._thread is None:
            return
        with contextlib.suppress(queue.Full):
            self._entries.put(None, timeout=patience_s)
        self._thread.join(patience_s)

    def _run(self) -> None:
        while (entry := self._entries.get()) is not None:
            if not self._try(entry):
                self._lose(1)
            elif lost := self._take_lost():
                time_utc = format_datetime(datetime.now(UTC), "microseconds")
                if not self._try(LogEntry("warning", "log_entries_lost", {"entries": lost}, time_utc)):
                    self._lose(lost)

    def _try(self, entry: LogEntry) -> bool:
        try:
            self._write(entry)
        except Exception:  # noqa: BLE001  # whatever it is, the log's thread has nowhere to report it but the count
            return False
        return True

    def _lose(self, entries: int) -> None:
        with self._lock:
            self._lost_entries += entries

    def _take_lost(self) -> int:
        with self._lock:
            lost, self._lost_entries = self._lost_entries, 0
            return lost


def write_stderr(text: bytes) -> None:
    """Write all of a text to descriptor 2, waiting as long as its reader takes.

    Raises:
        OSError: The descriptor does not accept it.
    """
    while text:
        try:
            text = text[os.write(_STDERR, text) :]
        except BlockingIOError:  # another process that shares the descriptor set it to non-blocking
            select.select([], [_STDERR], [])


def try_write_stderr(text: bytes) -> None:
    """Write a text to descriptor 2 where that is possible within `DRAIN_S`; never raises."""

    def write() -> None:
        with contextlib.suppress(OSError):
            write_stderr(text)

    thread = threading.Thread(target=write, name="stderr", daemon=True)
    try:
        thread.start()
    except (MemoryError, RuntimeError):  # no thread can be started; a pipe with room takes the text without waiting
        with contextlib.suppress(OSError, ValueError):  # Windows waits for sockets only
            if select.select([], [_STDERR], [], DRAIN_S)[1]:
                os.write(_STDERR, text[: select.PIPE_BUF])
        return
    thread.join(DRAIN_S)


def _json(entry: LogEntry) -> str:
    fields = {**entry.fields, "event": entry.event, "level": entry.level, "timestamp": entry.timestamp}
    return msgspec.json.encode(fields).decode()
