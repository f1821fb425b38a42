"""The sink `terminal`: draws the live view on the terminal, and ends the program on the key q.

Conventions: a thread draws after changes, at most four times and at least once a second. While the view is open, the
standard error of this program and its children is captured and its last lines are shown; after the view has closed,
the captured lines are written. Ctrl-C and Ctrl-Z stay signals.
Source: rich draws on the alternate screen, so that the previous content of the terminal comes back.
Rule: a closed terminal ends the program as q does. Before a stop (Ctrl-Z) the terminal is given back, and nothing is
drawn until this job has the terminal again.
Does not: choose the content (`render.py`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import msgspec
from rich.console import Console, Group
from rich.live import Live as Screen
from rich.text import Text

from soundwatch.daemon.core.time.system_zone import SYSTEM_ZONE
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.spec import PreparedSink, SinkSpec
from soundwatch.daemon.sinks.terminal.keys import POLL_S, KeyMode, wait_for_departure
from soundwatch.daemon.sinks.terminal.render import LOG_LINES, ViewState, render, to_encoding
from soundwatch.daemon.system.job_control import block_terminal_stops, in_foreground

KEPT_EVENTS: Final = 200
KEPT_LOG_LINES: Final = 1000
MAX_REFRESH_HZ: Final = 4
MAX_REFRESH_S: Final = 1.0
CLOSING_S: Final = 2.0


class TerminalOptions(msgspec.Struct, frozen=True, kw_only=True):
    """Options of `terminal`: none."""


def prepare_terminal(_: SinkSpec, __: TerminalOptions, view: DaemonView) -> PreparedSink:
    """Prepare the sink `terminal`."""
    return PreparedSink(
        name="terminal",
        place=("terminal",),
        open=lambda: TerminalSink(view),
        check=lambda: None,
        durable=False,
    )


class TerminalSink:
    """The live view on the terminal.

    Args:
        view: View of the daemon.
    """

    name = "terminal"

    def __init__(self, view: DaemonView) -> None:
        self._view = view
        self._events: dict[str, dict[str, Any]] = {}
        self._log_capture = LogCapture()
        self._changed = threading.Event()
        self._closing = threading.Event()
        self._drawing = threading.Event()  # the view may have the terminal
        self._left = threading.Event()  # the view has given the terminal back
        self._unsubscribe = view.live.subscribe(lambda _: self._changed.set())
        self._console = open_console()
        self._threads = [
            threading.Thread(target=self._draw, name="terminal view", daemon=True),
            threading.Thread(target=self._watch_keys, name="terminal keys", daemon=True),
        ]
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
        view = self._view
        return ViewState(
            node=view.node,
            snapshot=view.status.snapshot,
            latest=dict(view.live.latest),
            events=list(reversed(list(self._events.values()))),
            sinks=[(status, behind) for status, behind in view.sinks() if status.name != self.name],
            log=self._log_capture.last(LOG_LINES),
            now=datetime.now(SYSTEM_ZONE),
            levels=dict(view.live.latest_levels),
        )

    def _draw(self) -> None:
        """Draw until the sink closes; the target of a thread."""
        block_terminal_stops()
        try:
            while not self._closing.is_set():
                if not self._drawing.is_set():
                    self._left.set()
                    self._closing.wait(POLL_S)
                    continue
                with full_screen(self._console) as screen:
                    self._draw_on(screen)
        except OSError:
            self._on_terminal_closed()
        except Exception as error:  # noqa: BLE001  # the view may fail; the daemon may not
            self._log_failure(error)
        finally:
            self._left.set()

    def _draw_on(self, screen: Screen) -> None:
        """Draw until the sink closes or the view leaves the terminal."""
        while not self._closing.is_set() and self._drawing.is_set():
            self._changed.clear()
            show(screen, self._console, render(self._state(), self._console.width, self._console.height))
            self._closing.wait(1 / MAX_REFRESH_HZ)
            self._changed.wait(MAX_REFRESH_S)

    def _watch_keys(self) -> None:
        """Take and leave the terminal as keys and the shell want it; the target of a thread."""
        block_terminal_stops()
        job, terminal = self._view.job, sys.stdout.fileno()
        keys = sys.stdin.fileno() if os.name == "posix" and sys.stdin.isatty() else None
        mode = KeyMode(keys)
        try:
            while self._wait_for_foreground(terminal):
                job.view_open, seen = True, (job.suspends, job.continues)
                mode.enter()
                self._drawing.set()
                departure = wait_for_departure(keys, terminal, job, seen, self._closing.is_set)
                if departure not in ("closed", "quit"):
                    self._leave_screen()
                if departure in ("closed", "quit", "suspended"):
                    mode.leave()  # else the settings are the shell's already
                job.view_open = False
                if departure == "suspended":
                    before = job.continues
                    job.stop()
                    while job.continues == before and not self._closing.wait(POLL_S):
                        pass
                elif departure == "quit":
                    _interrupt()
                    return
        except OSError:
            self._on_terminal_closed()
        except Exception as error:  # noqa: BLE001  # the view may fail; the daemon may not
            self._log_failure(error)
        finally:
            job.view_open = False

    def _leave_screen(self) -> None:
        self._left.clear()
        self._drawing.clear()
        self._changed.set()
        self._left.wait(CLOSING_S)

    def _wait_for_foreground(self, terminal: int) -> bool:
        """Wait until this job has the terminal; return False once the sink closes."""
        while not self._closing.is_set():
            if in_foreground(terminal):
                return True
            self._closing.wait(POLL_S)
        return False

    def _log_failure(self, error: Exception) -> None:
        self._view.log.error("terminal_view_failed", error=f"{type(error).__name__}: {error}")

    def _on_terminal_closed(self) -> None:
        if not self._closing.is_set():
            _interrupt()


def open_console() -> Console:
    """Return a console on a copy of standard output, with its encoding."""
    output = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding=sys.stdout.encoding, errors="replace")
    return Console(file=output)


def show(screen: Screen, console: Console, lines: Sequence[Text]) -> None:
    """Draw rows, without special characters where the terminal's encoding is not a form of Unicode."""
    drawn = [to_encoding(line, console.encoding) for line in lines] if console.options.ascii_only else lines
    screen.update(Group(*drawn), refresh=True)


def full_screen(console: Console) -> Screen:
    """Return a context that shows a view on the alternate screen of a terminal."""
    return Screen(console=console, screen=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False)


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


def _interrupt() -> None:
    """End the program, as Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)
