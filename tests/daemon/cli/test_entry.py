"""The entry of the program: signals at any time, and the end of the process."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = """
import sys, types, signal, threading
from soundwatch.daemon.__main__ import main
cli = types.ModuleType("soundwatch.daemon.cli")
def run():
{command}
cli.main = run
{before}
sys.modules["soundwatch.daemon.cli"] = cli
main()
"""


def end_of(command: str, before: str = "") -> tuple[int, str, str]:
    """Run the entry with a command line of this code; return exit code, standard output and standard error."""
    indented = "\n".join(f"    {line}" for line in command.splitlines())
    words = [sys.executable, "-c", PROGRAM.format(command=indented, before=before)]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_interrupts_a_command_so_that_it_cleans_up(number: int) -> None:
    command = f"try: signal.raise_signal({number}); print('on')\nfinally: print('cleaned up')"
    assert end_of(command) == (0, "cleaned up\n", "")


def test_a_signal_during_an_import_ends_the_process_whatever_the_module_catches() -> None:
    module = "import signal\ntry: signal.raise_signal(signal.SIGTERM)\nexcept BaseException: pass\nprint('imported')"
    command = f"import pathlib, tempfile\nwith tempfile.TemporaryDirectory() as folder:\n\
        (pathlib.Path(folder) / 'catches.py').write_text({module!r})\n\
        sys.path.insert(0, folder)\n        import catches"
    assert end_of(command) == (0, "", "")


def test_a_signal_during_a_finalizer_is_not_dropped() -> None:
    command = "class Held:\n    def __del__(self): signal.raise_signal(signal.SIGTERM)\nHeld()\nprint('on')"
    assert end_of(command) == (0, "", "")


def test_a_second_signal_while_the_first_one_is_handled_is_a_stop_too() -> None:
    command = "try: signal.raise_signal(signal.SIGINT)\nfinally: signal.raise_signal(signal.SIGTERM)"
    assert end_of(command) == (0, "", "")


def test_a_signal_after_the_end_of_the_command_leaves_its_exit_code_and_no_semaphores() -> None:
    command = """
import atexit, multiprocessing
sys.held = multiprocessing.get_context("spawn").Lock()
atexit.register(lambda: signal.raise_signal(signal.SIGINT))
sys.exit(4)"""
    assert end_of(command) == (4, "", "")


@pytest.mark.skipif(sys.platform == "win32", reason="Windows removes no current folder")
def test_a_current_folder_that_was_removed_is_named(tmp_path: Path) -> None:
    program = "import os; os.rmdir(os.getcwd()); from soundwatch.daemon.cli import main; main(['schema'])"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("soundwatch: The current folder has been removed. Change to one that is there;")


def test_an_ignored_interrupt_stays_ignored() -> None:
    before = "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    assert end_of("signal.raise_signal(signal.SIGINT)\nprint('on')", before) == (0, "on\n", "")


def test_a_bug_ends_with_1_and_a_traceback() -> None:
    code, _, shown = end_of("print('a line', end='')\nraise ValueError('a bug')")
    assert (code, shown.splitlines()[0], shown.splitlines()[-1]) == (
        1,
        "Traceback (most recent call last):",
        "ValueError: a bug",
    )


@pytest.mark.slow
def test_a_thread_in_onnx_runtime_does_not_abort_the_end_of_the_process() -> None:
    command = """
import numpy as np
from soundwatch.daemon.inference.classifier import load_classifier_file
classifier = load_classifier_file("urban")
windows = np.zeros((8, *classifier.contract.features.input_shape), np.float32)
running = threading.Event()
def infer():
    while True:
        classifier.opened.logits(windows)
        running.set()
threading.Thread(target=infer, daemon=True).start()
running.wait()
sys.exit(3)"""
    assert end_of(command) == (3, "", "")


@pytest.mark.skipif(sys.platform != "linux", reason="limits of memory are those of Linux")
@pytest.mark.parametrize(
    ("limit", "megabytes"), [("AS", 60), pytest.param("AS", 160, marks=pytest.mark.slow), ("DATA", 50)]
)
def test_a_limit_of_memory_ends_the_imports_with_a_message_and_its_code(limit: str, megabytes: int) -> None:
    limits = f"resource.RLIMIT_{limit}, ({megabytes << 20}, {megabytes << 20})"
    code = f"import resource, sys; resource.setrlimit({limits})\nsys.argv = ['soundwatch', 'check-config']\n"
    words = [sys.executable, "-c", f"{code}from soundwatch.daemon.__main__ import main\nmain()"]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)
    assert (done.returncode, done.stdout) == (13, "")
    assert re.fullmatch(r"soundwatch: (There is|The system starts) no more .* use fewer sources\.\n", done.stderr)


def test_the_package_runs_as_a_program() -> None:
    shown = subprocess.run([sys.executable, "-m", "soundwatch.daemon", "--version"], capture_output=True, check=True)
    assert shown.stdout.startswith(b"soundwatch, version ")
