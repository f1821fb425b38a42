"""The daemon as a job of a shell."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import sys
import termios
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli_runner import SOUNDWATCH, lines_of
from support.reload_harness import Place

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="job control as Linux has it")]

WAIT_S = 120.0
LEAVES_OTHER_SCREEN = b"\x1b[?1049l"


class Shell:
    """Run an interactive bash with job control on a pseudoterminal."""

    def __init__(self) -> None:
        pid, self._terminal = pty.fork()
        if pid == 0:
            os.environ.update(PS1="READY> ", TERM="xterm", COLUMNS="100", LINES="30")
            os.execvp("bash", ["bash", "--norc", "--noprofile", "-i"])  # noqa: S606  # a shell, without another one
        self._pid = pid
        self.written = b""
        self.until(lambda: b"READY> " in self.written)

    def type(self, text: bytes) -> None:
        self.written = b""
        os.write(self._terminal, text)

    def until(self, seen: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not seen():
            assert time.monotonic() < deadline_s, self.written[-2000:]
            if select.select([self._terminal], [], [], 0.1)[0]:
                self.written += os.read(self._terminal, 65_536)

    def run(self, command: str) -> None:
        """Run a shell command to its end."""
        self.type(f"{command}; echo DO''NE\n".encode())
        self.until(lambda: b"READY> " in self.written.partition(b"DONE")[2])

    def check_terminal(self) -> None:
        """Check that commands of the shell have the terminal with echo and whole lines."""
        self.run("stty -a")
        assert b" icanon" in self.written
        assert b" echo " in self.written

    @property
    def has_keys(self) -> bool:
        """Whether a view has set the terminal to single keys without echo."""
        return not termios.tcgetattr(self._terminal)[3] & (termios.ICANON | termios.ECHO)

    def until_drawn(self) -> None:
        """Wait until a view has the terminal."""
        self.until(lambda: b"dBFS" in self.written and self.has_keys)

    def until_given_back(self) -> None:
        """Wait until the shell has the terminal again, and look at it."""
        self.until(lambda: b"READY> " in self.written.partition(LEAVES_OTHER_SCREEN)[2])
        self.check_terminal()

    def close(self) -> None:
        os.close(self._terminal)
        os.kill(self._pid, 9)
        os.waitpid(self._pid, 0)


@pytest.fixture
def shell() -> Iterator[Shell]:
    opened = Shell()
    yield opened
    opened.close()


@pytest.fixture
def command(tmp_path: Path) -> str:
    place = Place(tmp_path)
    place.write()
    return f"{SOUNDWATCH} run --config {place.path} --journal memory"


def events(path: Path) -> int:
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.mark.parametrize("view", ["", " -F terminal"])
def test_a_background_job_listens_and_is_ended_by_kill(shell: Shell, command: str, tmp_path: Path, view: str) -> None:
    out = tmp_path / "events.jsonl"
    shell.type(f"{command} -F json:{out}{view} >/dev/tty &\n".encode())
    shell.until(lambda: events(out) >= 2)
    shell.run("kill %1; wait %1")
    assert lines_of(out.read_bytes())[-1]["type"] == "stats"
    shell.check_terminal()


def test_a_stopped_view_gives_the_terminal_back_and_takes_it_again(shell: Shell, command: str, tmp_path: Path) -> None:
    out = tmp_path / "events.jsonl"
    shell.type(f"{command} -F terminal -F json:{out}\n".encode())
    shell.until_drawn()
    shell.type(b"\x1a")
    shell.until_given_back()
    shell.run("jobs -l")
    [pid] = re.findall(rb"\[1\]\+? +(\d+) +(?:Stopped|Suspended)", shell.written)
    before = events(out)
    shell.run("bg")
    shell.until(lambda: events(out) > before)  # it listens, and does not draw
    shell.check_terminal()
    assert b"dBFS" not in shell.written
    shell.type(b"fg\n")
    shell.until_drawn()
    os.kill(int(pid), signal.SIGTSTP)
    shell.until_given_back()
    shell.type(b"fg\n")
    shell.until_drawn()
    os.kill(int(pid), signal.SIGSTOP)  # leaves no time to give anything back; the shell sets its own terminal
    shell.until(lambda: b"READY> " in shell.written.partition(b"Stopped")[2])
    shell.type(b"fg\n")
    shell.until_drawn()
    shell.type(b"q")
    shell.until_given_back()
    shell.run("jobs")
    assert b"soundwatch" not in shell.written
    assert lines_of(out.read_bytes())[-1]["type"] == "stats"
