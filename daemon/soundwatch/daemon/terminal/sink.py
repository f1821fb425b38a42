"""The sink `terminal`: draws what is heard on the terminal, and ends the program when somebody types q.

Conventions: drawn when there is news, four times a second at most, and once a second at least, by a thread of its own.
While it is up, all that is written to standard error goes into the view, this program's and its children's, since a
line of it would tear the picture; at the end it is all written there. Ctrl-C stays a signal.
Source: rich draws on the terminal's other screen, so that what was there before comes back.
Rule: a terminal that is closed ends the program as q does: whoever sat there has left.
Does not: choose what is shown (`picture.py`).
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
from soundwatch.daemon.sinks.context import OpenedSink, SinkContext, SinkSpec, parse_options
from soundwatch.daemon.terminal.render import ViewState, render

if os.name == "posix":
    import termios
    import tty

import msgspec

KEPT_EVENTS: Final = 200
KEPT_DIARY_LINES: Final = 1000
MOST_A_SECOND: Final = 4
LONGEST_PAUSE_S: Final = 1.0
LOOK_S: Final = 0.2
CLOSING_S: Final = 2.0
_ENDING_KEYS: Final = (b"q", b"Q", b"\x04", b"")  # Ctrl-D, and nothing at all where the terminal is closed


class TerminalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """What `terminal` can be told: nothing."""


def open_terminal(spec: SinkSpec, sink_context: SinkContext) -> OpenedSink:
    """The sink `terminal`.

    Raises:
        ConfigError: It has an option.
    """
    parse_options(spec, TerminalOptions)
    return OpenedSink(TerminalSink(sink_context), durable=False)


class TerminalSink:
    """The picture on the terminal.

    Args:
        sink_context: What there is to see.
        stop: Ends the program, as Ctrl-C does.
    """

    name = "terminal"

    def __init__(self, sink_context: SinkContext, stop: Callable[[], object] = lambda: _interrupt()) -> None:
        self._sink_context = sink_context
        self._stop = stop
        self._events: dict[str, dict[str, Any]] = {}
        self._diary = LogCapture()
        self._news = threading.Event()
        self._ending = threading.Event()
        self._leave = sink_context.live.watch(lambda _: self._news.set())
        self._console = Console(file=os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8"))
        self._threads = [threading.Thread(target=work, daemon=True) for work in (self._draw, self._watch_keys)]
        for thread in self._threads:
            thread.start()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        """Take lines: events are kept, all else is on the board."""
        for entry in entries:
            line = json.loads(entry.line)
            if line["type"] in ("start", "update", "end"):
                self._events[line["id"]] = line
        while len(self._events) > KEPT_EVENTS:
            del self._events[next(iter(self._events))]
        self._news.set()

    def close(self) -> None:
        """Give the terminal back, and write the diary there. May be called twice."""
        if self._ending.is_set():
            return
        self._ending.set()
        self._news.set()
        self._leave()
        for thread in self._threads:
            thread.join(CLOSING_S)
        self._diary.close()

    def _seen(self) -> ViewState:
        around = self._sink_context
        return ViewState(
            node=around.node,
            board=around.board(),
            latest=dict(around.live.latest),
            events=list(reversed(list(self._events.values()))),
            sinks=[(state, behind) for state, behind in around.sinks() if state.name != self.name],
            diary=self._diary.last(3),
            now=datetime.now().astimezone(),
        )

    def _draw(self) -> None:
        """The thread that draws."""
        try:
            with Screen(
                console=self._console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
            ) as screen:
                while not self._ending.is_set():
                    self._news.clear()
                    lines = render(self._seen(), self._console.width, self._console.height)
                    screen.update(Group(*lines), refresh=True)
                    self._ending.wait(1 / MOST_A_SECOND)
                    self._news.wait(LONGEST_PAUSE_S)
        except OSError:
            self._leave_with_the_terminal()

    def _watch_keys(self) -> None:
        """The thread that waits for q."""
        if os.name != "posix" or not sys.stdin.isatty():
            return
        keys = sys.stdin.fileno()
        try:
            with _unbuffered(keys):
                while not self._ending.is_set():
                    if select.select([keys], [], [], LOOK_S)[0] and os.read(keys, 64)[:1] in _ENDING_KEYS:
                        self._stop()
                        return
        except (OSError, termios.error):
            self._leave_with_the_terminal()

    def _leave_with_the_terminal(self) -> None:
        if not self._ending.is_set():
            self._stop()


class LogCapture:
    """Standard error's lines, kept instead of written while a picture is on the terminal.

    A descriptor that is no terminal is left alone: its lines tear nothing.
    """

    def __init__(self) -> None:
        self._lines = deque[str](maxlen=KEPT_DIARY_LINES)
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
        """The last lines."""
        with self._lock:
            return list(self._lines)[-count:]

    def close(self) -> None:
        """Write to standard error again, what was kept first."""
        if self._saved is None:
            return
        sys.stderr.flush()
        os.dup2(self._saved, 2)  # the pipe's last writing end here, so that its reader comes to an end
        os.close(self._saved)
        self._saved = None
        self._thread.join(CLOSING_S)
        with self._lock:
            kept = list(self._lines)
        with contextlib.suppress(OSError):  # the terminal is closed
            for line in kept:
                print(line, file=sys.stderr)  # noqa: T201  # this is the diary
            sys.stderr.flush()

    def _read(self, reading: int) -> None:
        with open(reading, encoding="utf-8", errors="replace") as pipe:  # a descriptor
            for line in pipe:
                with self._lock:
                    self._lines.append(line.rstrip("\n"))


@contextlib.contextmanager
def _unbuffered(keys: int) -> Iterator[None]:
    """Have the terminal give each key as it is typed, unseen; Ctrl-C stays what it is."""
    before = termios.tcgetattr(keys)
    try:
        tty.setcbreak(keys)
        yield
    finally:
        termios.tcsetattr(keys, termios.TCSADRAIN, before)


def _interrupt() -> None:
    os.kill(os.getpid(), signal.SIGINT)
