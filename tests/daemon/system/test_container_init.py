"""The program as process 1 of a container: it reaps orphans, forwards signals and keeps the exit code."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.cli_runner import SOUNDWATCH, lines_of
from support.reload_harness import Place

UNSHARE = ["unshare", "--fork", "--pid", "--mount-proc", "--kill-child"]
WAIT_S = 120.0
START = "from soundwatch.daemon.system.container_init import run_as_init; run_as_init()\n"

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="process namespaces are Linux's")


@pytest.fixture(autouse=True)
def _namespace() -> None:
    if subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode:
        pytest.skip("this user may not make a process namespace")


def as_process_1(program: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([*UNSHARE, sys.executable, "-c", START + program], stdout=subprocess.PIPE)


def test_orphans_are_reaped_and_the_exit_code_is_the_programs() -> None:
    program = (
        "import pathlib, subprocess, sys, time\n"
        "for _ in range(20): subprocess.run(['sh', '-c', 'sleep 0.01 &'], check=True)\n"
        "def state_of(path):\n"
        "    try: return path.read_text().split()[2]\n"
        "    except (FileNotFoundError, ProcessLookupError): return ''  # it has ended\n"
        "def states(): return [*filter(None, map(state_of, pathlib.Path('/proc').glob('[0-9]*/stat')))]\n"
        "until_s = time.monotonic() + 60\n"
        "while len(states()) > 2 and time.monotonic() < until_s: time.sleep(0.02)\n"
        "print(''.join(sorted(states())))\n"
        "sys.exit(7)\n"
    )
    with as_process_1(program) as process:
        out, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 7
    assert len(out.split()[0]) == 2, "this program and its init are left, no zombie"


@pytest.mark.parametrize("number", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_to_process_1_reaches_the_program_whose_signal_death_is_its_exit_code(number: str) -> None:
    program = (
        "import signal, time\n"
        f"signal.signal(signal.{number}, lambda *_: exit(5))\n"
        "print('ready', flush=True)\n"
        "time.sleep(60)\n"
    )
    with as_process_1(program) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        [init] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        subprocess.run(["kill", f"-{number}", init], check=True)
        assert process.wait(WAIT_S) == 5


def test_a_program_that_a_signal_kills_gives_128_and_its_number() -> None:
    with as_process_1("import os; os.kill(os.getpid(), 9)") as process:
        assert process.wait(WAIT_S) == 137


@pytest.mark.slow
def test_what_hooks_leave_behind_is_reaped(tmp_path: Path) -> None:
    hook = tmp_path / "hook"
    hook.write_text(f"#!/bin/sh\nsetsid sleep 0.1 </dev/null >/dev/null 2>&1 &\necho x >>{tmp_path}/runs\n")
    hook.chmod(0o755)
    place = Place(tmp_path)
    place.write()
    runs, out = tmp_path / "runs", tmp_path / "events.jsonl"
    options = ["--config", str(place.path), "--journal", "memory", "-F", f"command:{hook}", "-F", f"json:{out}"]
    with subprocess.Popen([*UNSHARE, SOUNDWATCH, "run", *options], stderr=subprocess.DEVNULL) as process:
        deadline_s = time.monotonic() + WAIT_S
        while not runs.is_file():
            assert time.monotonic() < deadline_s
            assert process.poll() is None
            time.sleep(0.1)
        [init] = children(process.pid)
        while any(state(pid) == "Z" for pid in children(init)):  # one may have ended just now
            assert time.monotonic() < deadline_s
            time.sleep(0.05)
        subprocess.run(["kill", init], check=True)
        assert process.wait(WAIT_S) == 0
    assert lines_of(out.read_bytes())[-1]["type"] == "stats"


def children(pid: int | str) -> list[str]:
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def state(pid: str) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:  # it has been reaped
        return ""
