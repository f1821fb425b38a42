"""The sink `terminal`: draws the live view on the terminal, and ends the program on the key q.

Conventions: a thread draws after changes, at most four times and at least once a second. While the view is open, the
standard error of this program and its children is captured and its last lines are shown; after the view has closed,
the captured lines are written. Ctrl-C stays a signal.
Source: rich draws on the alternate screen, so that the previous content of the terminal comes back.
Rule: a closed terminal ends the program as q does.
Does not: choose the content (`render.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, Final

from rich.console import Console, Group
from rich.live import Live as Screen

from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.context import PreparedSink, SinkContext, SinkSpec
from soundwatch.daemon.sinks.terminal.render import ViewState, render
from soundwatch.daemon.system.job_control import in_foreground, stop_job

if os.name == "posix":
    import termios
    import tty

import msgspec

KEPT_EVENTS: Final = 200
KEPT_LOG_LINES: Final = 1000
MAX_REFRESH_HZ: Final = 4
MAX_REFRESH_S: Final = 1.0
KEY_POLL_S: Final = 0.2
CLOSING_S: Final = 2.0
_QUIT_KEYS: Final = (b"q", b"Q", b"\x04", b"")  # Ctrl-D, and the empty read of a closed terminal
_SUSPEND_KEY: Final = b"\x1a"  # Ctrl-Z


class TerminalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `terminal`: none."""


def prepare_terminal(_: SinkSpec, __: TerminalOptions, context: SinkContext) -> PreparedSink:
    """Prepare the sink `terminal`."""
    return PreparedSink(
        name="terminal",
        place=("terminal",),
        open=lambda: TerminalSink(context),
        check=lambda: None,
        durable=False,
    )


class TerminalSink:
    """The live view on the terminal.

    Args:
        sink_context: State of the daemon.
        stop: Ends the program, as Ctrl-C does.
    """

    name = "terminal"

    def __init__(self, sink_context: SinkContext, stop: Callable[[], object] = lambda: _interrupt()) -> None:
        self._sink_context = sink_context
        self._stop = stop
        self._events: dict[str, dict[str, Any]] = {}
        self._log_capture = LogCapture()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._suspended = threading.Event()
        self._left = threading.Event()  # the view has given the terminal back
        if os.name == "posix" and sys.stdin.isatty() and not in_foreground(sys.stdin.fileno()):
            self._suspended.set()
        self._unsubscribe = sink_context.live.subscribe(lambda _: self._changed.set())
        self._console = Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._draw, self._watch_keys)]
        for thread in self._threads:
            thread.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Store the last line of each event; the status snapshot has all else."""
        for entry in entries:
            line = json.loads(entry.line)
            if line["type"] in ("start", "update", "end"):
                self._events[line["id"]] = line
        while len(self._events) > KEPT_EVENTS:
            del self._events[next(iter(self._events))]
        self._changed.set()

    def close(self) -> None:
        """Restore the terminal and write the captured log. May be called twice."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._changed.set()
        self._unsubscribe()
        for thread in self._threads:
            thread.join(CLOSING_S)
        self._log_capture.close()

    def _state(self) -> ViewState:
        context = self._sink_context
        return ViewState(
            node=context.node,
            snapshot=context.status.snapshot,
            latest=dict(context.live.latest),
            events=list(reversed(list(self._events.values()))),
            sinks=[(status, behind) for status, behind in context.sinks() if status.name != self.name],
            log=self._log_capture.last(3),
            now=datetime.now().astimezone(),
        )

    def _draw(self) -> None:
        """Draw until the sink closes; the target of a thread."""
        try:
            while not self._closing.is_set():
                if self._suspended.is_set():
                    self._left.set()
                    self._closing.wait(KEY_POLL_S)
                    continue
                with Screen(
                    console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
                ) as screen:
                    self._draw_on(screen)
        except OSError:
            self._on_terminal_closed()

    def _draw_on(self, screen: Screen) -> None:
        """Draw until the sink closes or is suspended."""
        while not self._closing.is_set() and not self._suspended.is_set():
            self._changed.clear()
            lines = render(self._state(), self._console.width, self._console.height)
            screen.update(Group(*lines), refresh=True)
            self._closing.wait(1 / MAX_REFRESH_HZ)
            self._changed.wait(MAX_REFRESH_S)

    def _watch_keys(self) -> None:
        """Wait for the keys q and Ctrl-Z; the target of a thread."""
        if os.name != "posix" or not sys.stdin.isatty():
            return
        keys = sys.stdin.fileno()
        try:
            self._wait_for_foreground(keys)
            while not self._closing.is_set():
                with _unbuffered(keys):
                    self._suspended.clear()
                    key = self._wait_for_key(keys)
                    if key == _SUSPEND_KEY:
                        self._left.clear()
                        self._suspended.set()
                        self._changed.set()
                        self._left.wait(CLOSING_S)
                if key == _SUSPEND_KEY:
                    stop_job()
                    self._wait_for_foreground(keys)
                elif key is not None:
                    self._stop()
                    return
        except (OSError, termios.error):
            self._on_terminal_closed()

    def _wait_for_key(self, keys: int) -> bytes | None:
        """Return the next key that has a meaning, or None once the sink closes."""
        while not self._closing.is_set():
            if in_foreground(keys) and termios.tcgetattr(keys)[3] & termios.ICANON:
                _set_unbuffered(keys)  # the shell restored its own settings after it had continued the job
            if select.select([keys], [], [], KEY_POLL_S)[0]:
                key = os.read(keys, 64)[:1]
                if key in (*_QUIT_KEYS, _SUSPEND_KEY):
                    return key
        return None

    def _wait_for_foreground(self, keys: int) -> None:
        """Draw only while this job has the terminal: a background job that changes the terminal is stopped."""
        while not in_foreground(keys) and not self._closing.is_set():
            self._closing.wait(KEY_POLL_S)

    def _on_terminal_closed(self) -> None:
        if not self._closing.is_set():
            self._stop()


class LogCapture:
    """Captures standard error while a view is on the terminal.

    Standard error that is not a terminal is left alone, since its lines do not disturb the view.
    """

    def __init__(self) -> None:
        self._lines = deque[str](maxlen=KEPT_LOG_LINES)
        self._lock = threading.Lock()
        self._saved: int | None = None
        if not os.isatty(2):
            return
        sys.stderr.flush()
        self._saved = os.dup(2)
        reading, writing = os.pipe()
        os.dup2(writing, 2)
        os.close(writing)
        self._thread = threading.Thread(target=self._read, args=(reading,), daemon=True)
        self._thread.start()

    def last(self, count: int) -> list[str]:
        """Return the last lines."""
        with self._lock:
            return list(self._lines)[-count:]

    def close(self) -> None:
        """Restore standard error and write the captured lines."""
        if self._saved is None:
            return
        sys.stderr.flush()
        os.dup2(self._saved, 2)  # closes the last writing end of the pipe, so that its reader ends
        os.close(self._saved)
        self._saved = None
        self._thread.join(CLOSING_S)
        with self._lock:
            captured = list(self._lines)
        with contextlib.suppress(OSError):  # the terminal is closed
            for line in captured:
                print(line, file=sys.stderr)  # noqa: T201  # this is the log
            sys.stderr.flush()

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as pipe:  # a descriptor
            for line in pipe:
                with self._lock:
                    self._lines.append(line.rstrip("\n"))


@contextlib.contextmanager
def _unbuffered(keys: int) -> Iterator[None]:
    """Switch the terminal to unbuffered input without echo; Ctrl-C stays a signal, Ctrl-Z becomes a key."""
    saved = termios.tcgetattr(keys)
    try:
        _set_unbuffered(keys)
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, saved)


def _set_unbuffered(keys: int) -> None:
    tty.setcbreak(keys, termios.TCSADRAIN)
    changed = termios.tcgetattr(keys)
    changed[6][termios.VSUSP] = bytes([os.fpathconf(keys, "PC_VDISABLE")])
    termios.tcsetattr(keys, termios.TCSADRAIN, changed)


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
