"""The entry of the program."""

from __future__ import annotations

import subprocess
import sys
import types

import pytest

from soundwatch.daemon.__main__ import main


class Interrupted(types.ModuleType):
    """A command line whose import is interrupted."""

    def __getattr__(self, name: str) -> object:
        raise KeyboardInterrupt


def test_an_interrupt_during_the_imports_is_a_stop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "soundwatch.daemon.cli", Interrupted("cli"))
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0


def test_the_package_runs_as_a_program() -> None:
    shown = subprocess.run([sys.executable, "-m", "soundwatch.daemon", "--version"], capture_output=True, check=True)
    assert shown.stdout.startswith(b"soundwatch, version ")
