"""A program on a pseudoterminal whose screen can be read."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import termios
import time
from collections.abc import Callable
from typing import Any

import pyte

PATIENCE_S = 60.0


class Terminal:
    """A program on a pseudo-terminal.

    Args:
        command: Its words.
        columns: The terminal's width.
        rows: Its height.
    """

    def __init__(self, command: list[str], columns: int = 100, rows: int = 30, **options: Any) -> None:
        self.screen = pyte.Screen(columns, rows)
        self.written = b""
        self._stream = pyte.ByteStream(self.screen)
        self._ours, theirs = pty.openpty()
        self.resize(columns, rows)
        environment = os.environ | {"TERM": "xterm-256color"} | options.pop("env", {})
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs} | options
        self.process = subprocess.Popen(command, start_new_session=True, env=environment, **streams)
        os.close(theirs)

    def resize(self, columns: int, rows: int) -> None:
        """Make the terminal another size."""
        fcntl.ioctl(self._ours, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.screen.resize(rows, columns)

    @property
    def lines(self) -> list[str]:
        """The screen's rows."""
        return [line.rstrip() for line in self.screen.display]

    def read(self, seconds: float = 0.1) -> bool:
        """Read output for a moment; return False after the program has closed the terminal."""
        if not select.select([self._ours], [], [], seconds)[0]:
            return True
        try:
            text = os.read(self._ours, 65_536)
        except OSError:
            return False
        self.written += text
        self._stream.feed(text)
        return bool(text)

    def wait_for(self, seen: Callable[[list[str]], bool]) -> list[str]:
        """Read until the screen shows something."""
        until_s = time.monotonic() + PATIENCE_S
        while not seen(self.lines):
            going_on = self.read()
            assert going_on or seen(self.lines), "\n".join(self.lines)
            assert time.monotonic() < until_s, "\n".join(self.lines)
        return self.lines

    def type(self, keys: bytes) -> None:
        """Press keys."""
        os.write(self._ours, keys)

    def end(self) -> int:
        """Read to the program's end.

        Returns:
            Its exit code.
        """
        until_s = time.monotonic() + PATIENCE_S
        while self.read() and time.monotonic() < until_s:
            pass
        return self.process.wait(PATIENCE_S)

    def hang_up(self) -> None:
        """Close the terminal while the program runs."""
        os.close(self._ours)

    def close(self) -> None:
        """Kill the program."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(PATIENCE_S)
        os.close(self._ours)
