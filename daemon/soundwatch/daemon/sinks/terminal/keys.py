"""Keys of a terminal: unbuffered input while a view has the terminal, and the reason for which a view has to leave it.

Conventions: the settings that were found are put back, unless another program has changed them meanwhile. A terminal
whose output is stopped (Ctrl-S) delays nothing.
Does not: draw (`sinks/terminal/sink.py`).
"""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable
from typing import Any, Final, Literal

from soundwatch.daemon.system.job_control import JobControl, in_foreground

if sys.platform != "win32":
    import termios
    import tty

POLL_S: Final = 0.2
QUIT_KEYS: Final = (b"q", b"Q", b"\x04", b"")  # Ctrl-D, and the empty read of a closed terminal

Departure = Literal["closed", "quit", "suspended", "continued", "background"]


class KeyMode:
    """Unbuffered input without echo; Ctrl-C and Ctrl-Z stay signals.

    Args:
        keys: Descriptor of the terminal; None where standard input is no terminal.
    """

    def __init__(self, keys: int | None) -> None:
        self._keys = keys
        self._before: list[Any] | None = None
        self._ours: list[Any] | None = None

    def enter(self) -> None:
        """Set the terminal, and keep the settings that were there.

        Raises:
            OSError: The terminal is closed.
        """
        if self._keys is None or sys.platform == "win32":
            return
        try:
            found = termios.tcgetattr(self._keys)
            if found != self._ours:
                self._before = found
            tty.setcbreak(self._keys, termios.TCSANOW)
            self._ours = termios.tcgetattr(self._keys)
        except termios.error as error:  # no OSError
            raise OSError(*error.args) from error

    def leave(self) -> None:
        """Put the settings back, unless they are another program's by now.

        Raises:
            OSError: The terminal is closed.
        """
        if self._keys is None or sys.platform == "win32" or self._before is None:
            return
        try:
            if termios.tcgetattr(self._keys) == self._ours:
                termios.tcsetattr(self._keys, termios.TCSANOW, self._before)
        except termios.error as error:
            raise OSError(*error.args) from error


def wait_for_departure(
    keys: int | None, terminal: int, job: JobControl, seen: tuple[int, int], closing: Callable[[], bool]
) -> Departure:
    """Wait until a view has to leave the terminal.

    Args:
        keys: Descriptor to read keys from; None for no keys.
        terminal: Descriptor of the terminal.
        job: Job control of this process.
        seen: Counters `suspends` and `continues` of the job when the view began.
        closing: Returns True once the program closes the view.
    """
    while not closing():
        if job.suspends != seen[0]:
            return "suspended"
        if job.continues != seen[1]:
            return "continued"
        if not in_foreground(terminal):
            return "background"
        if keys is None:
            time.sleep(POLL_S)
        elif select.select([keys], [], [], POLL_S)[0] and _is_quit_key(keys, terminal):
            return "quit"
    return "closed"


def _is_quit_key(keys: int, terminal: int) -> bool:
    """Read a key.

    Raises:
        OSError: The terminal is closed.
    """
    try:
        return os.read(keys, 64)[:1] in QUIT_KEYS
    except OSError:
        if in_foreground(terminal):
            raise
        return False  # another job got the terminal a moment ago
