"""Standard streams that are closed, full or not read never end, freeze or spoil the daemon."""

from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.reload_harness import Place

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/dev/full and pipes as Linux has them")

WAIT_S = 120.0


def full_pipe() -> tuple[int, int]:
    """A pipe that has no room and is not read."""
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    try:
        while True:
            os.write(writing, bytes(65_536))
    except BlockingIOError:
        pass
    try:
        while True:
            os.write(writing, b"x")
    except BlockingIOError:
        pass
    os.set_blocking(writing, True)
    return reading, writing


def until(seen: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not seen():
        assert process.poll() is None, process.returncode
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def listen(folder: Path, redirection: str = "", **options: Any) -> tuple[subprocess.Popen[bytes], Path]:
    """Start the daemon on a recording in real time, by a shell where a redirection is given."""
    place, out = Place(folder), folder / "events.jsonl"
    place.write()
    command = [SOUNDWATCH, "run", "--config", str(place.path), "-F", "json", "-F", f"json:{out}"]
    if redirection:
        command = ["bash", "-c", f"exec {' '.join(command)} {redirection}"]
    return subprocess.Popen(command, **options), out


def bash(words: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command of the program with a shell's redirections."""
    return subprocess.run(["bash", "-c", f"{SOUNDWATCH} {words}"], stderr=subprocess.PIPE, check=False)


def events(out: Path) -> int:
    return len(lines_of(out.read_bytes())) if out.is_file() else 0


def stop(process: subprocess.Popen[bytes]) -> int:
    process.send_signal(signal.SIGTERM)
    try:
        return process.wait(WAIT_S)
    finally:
        process.kill()


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_an_output_that_the_system_takes_only_in_part_is_an_error(tmp_path: Path, unbuffered: str) -> None:
    out, limit = tmp_path / "schema.json", 20_480
    with out.open("wb") as file:
        done = soundwatch(
            "schema",
            env={"PYTHONUNBUFFERED": unbuffered},
            capture_output=False,
            stdout=file,
            stderr=subprocess.PIPE,
            preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        )
    assert out.stat().st_size == limit
    assert done.stderr == b"soundwatch: Standard output cannot be written: File too large. The output is incomplete.\n"
    assert done.returncode == 6


def test_streams_that_are_closed_or_full_leave_the_daemon_listening(tmp_path: Path) -> None:
    redirections = ["2>&-", ">&-", "<&-", "<&- >&- 2>&-", ">&- 2>/dev/full", "2>/dev/full", ">/dev/full"]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    listen_and_stop(tmp_path, {words: (words, quiet) for words in [*redirections, ">/dev/full 2>&1"]})


def test_a_reader_that_does_not_read_freezes_no_sink_and_no_signal(tmp_path: Path) -> None:
    reading, writing = full_pipe()
    unread: dict[str, tuple[str, dict[str, Any]]] = {
        stream: (
            "",
            {name: writing if stream in (name, "both") else subprocess.DEVNULL for name in ("stdout", "stderr")},
        )
        for stream in ("stderr", "stdout", "both")
    }
    try:
        listen_and_stop(tmp_path, unread)
    finally:
        os.close(reading)
        os.close(writing)


def listen_and_stop(folder: Path, streams: dict[str, tuple[str, dict[str, Any]]]) -> None:
    """Start a daemon for each way of its streams, stop all, and check that each ended well with whole lines."""
    with ExitStack() as stack:
        daemons: dict[str, tuple[subprocess.Popen[bytes], Path]] = {}
        for number, (name, (redirection, options)) in enumerate(streams.items()):
            own = folder / str(number)
            own.mkdir()
            environment = os.environ | {"STATE_DIRECTORY": str(own / "state")}
            process, out = listen(own, redirection, env=environment, **options)
            stack.enter_context(process)
            stack.callback(process.kill)
            daemons[name] = process, out
        for process, out in daemons.values():
            until(lambda out=out: events(out) >= 2, process)  # type: ignore[misc]
        for process, _ in daemons.values():
            process.send_signal(signal.SIGTERM)
        assert {name: process.wait(WAIT_S) for name, (process, _) in daemons.items()} == dict.fromkeys(daemons, 0)
        ends = {name: lines_of(out.read_bytes())[-1]["type"] for name, (_, out) in daemons.items()}
        assert ends == dict.fromkeys(daemons, "stats"), "each file has nothing but whole lines, to the end"


def test_a_terminal_that_is_stopped_freezes_no_sink_and_no_signal(tmp_path: Path) -> None:
    controller, terminal = os.openpty()
    termios.tcflow(terminal, termios.TCOOFF)  # what Ctrl-S does
    process, out = listen(tmp_path, stdout=subprocess.DEVNULL, stderr=terminal)
    try:
        with process:
            until(lambda: events(out) >= 2, process)
            assert stop(process) == 0
    finally:
        os.close(controller)
        os.close(terminal)


def test_a_refusal_has_its_exit_code_with_any_standard_error(tmp_path: Path) -> None:
    for redirection in ("2>&-", "2>/dev/full"):
        assert bash(f"replay {tmp_path}/none.wav {redirection}").returncode == 4, redirection
        assert bash(f"replay --nonsense {redirection}").returncode == 2, redirection


def test_a_command_without_standard_output_does_its_work() -> None:
    done = bash("schema >&-")
    assert (done.returncode, done.stderr) == (0, b"")
    done = bash("schema >/dev/full")
    assert done.returncode == 6
    assert done.stderr.startswith(b"soundwatch: Standard output cannot be written: No space left on device.")
    assert json.loads(soundwatch("schema").stdout)
