"""The daemon as a job of a shell."""

from __future__ import annotations

import os
import pty
import select
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.cli_runner import SOUNDWATCH, lines_of
from support.reload_harness import Place

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform != "linux", reason="job control as Linux has it")]

WAIT_S = 120.0


class Shell:
    """An interactive bash on a terminal of its own, with job control."""

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
        self.until(lambda: b"DONE" in self.written)

    def check_terminal(self) -> None:
        """Check that commands of the shell have the terminal with echo and whole lines."""
        self.run("stty -a")
        assert b" icanon" in self.written
        assert b" echo " in self.written

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
