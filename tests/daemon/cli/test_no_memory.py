"""Limits of the system that end a command."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from soundwatch.daemon import cli
from soundwatch.daemon.core.errors import ExhaustedError

HIDDEN = SystemError("<ufunc 'rfft_n_even'> returned a result with an exception set")
HIDDEN.__cause__ = MemoryError()

REFUSED = [
    (MemoryError(), "There is no more memory: an allocation failed."),
    (MemoryError("Unable to allocate 86.4 KiB."), "There is no more memory: Unable to allocate 86.4 KiB."),
    (OSError(12, "Cannot allocate memory"), "There is no more memory."),
    (OSError(24, "Too many open files"), "The program can open no more files."),
    (RuntimeError("can't start new thread"), "The system starts no more threads."),
    (HIDDEN, "There is no more memory: an allocation failed."),
]


def end_with(error: Exception, monkeypatch: pytest.MonkeyPatch) -> int:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(cli.soundwatch, "main", fail)
    return cli._run([])


@pytest.mark.parametrize(("error", "text"), REFUSED, ids=lambda value: str(value)[:30])
def test_a_command_without_memory_threads_or_files_ends_with_a_message(
    error: Exception, text: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    assert end_with(error, monkeypatch) == ExhaustedError.exit_code
    assert capfd.readouterr().err.startswith(f"soundwatch: {text} Raise the program's limits")


def test_the_message_needs_no_thread(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    assert end_with(MemoryError(), monkeypatch) == ExhaustedError.exit_code
    assert capfd.readouterr().err.startswith("soundwatch: There is no more memory")


@pytest.mark.parametrize("error", [RuntimeError("it changed size"), OSError(13, "denied"), SystemError("bad call")])
def test_any_other_error_is_a_bug_with_a_traceback(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(type(error)) as raised:
        end_with(error, monkeypatch)
    assert raised.value is error


FAILING = """
from soundwatch.daemon.pipeline import pipeline

def refuse(*_):
    raise MemoryError("Unable to allocate 86.4 KiB for an array")

pipeline.resample = refuse
from soundwatch.daemon.cli import main
main(["run", "--device", "demo", "-F", "json"])
"""


@pytest.mark.slow
def test_a_running_daemon_whose_front_end_gets_no_memory_ends_with_a_message() -> None:
    done = subprocess.run([sys.executable, "-c", FAILING], capture_output=True, text=True, timeout=300)
    assert done.returncode == ExhaustedError.exit_code
    assert done.stderr.splitlines()[-1].startswith("soundwatch: There is no more memory: Unable to allocate 86.4 KiB")
    assert "Traceback" not in done.stderr
