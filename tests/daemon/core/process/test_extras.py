"""The command that installs extras, in environments with either ONNX Runtime."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from types import SimpleNamespace

import pytest

from soundwatch.daemon.core.process import extras

SCRIPT = Path(__file__).resolve().parents[4] / "scripts" / "extra-requirements"


@pytest.mark.parametrize(
    ("installed", "command"),
    [
        ({"onnxruntime-gpu"}, "pip install '.[scan,ray]'"),
        ({"onnxruntime-gpu", "onnxruntime"}, "pip install '.[scan,ray]'"),
        ({"onnxruntime"}, "make extras EXTRAS=scan,ray"),
    ],
)
def test_an_environment_without_a_gpu_gets_no_second_runtime(
    installed: set[str], command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def distribution(name: str) -> SimpleNamespace:
        if name not in installed:
            raise PackageNotFoundError(name)
        return SimpleNamespace()

    monkeypatch.setattr("importlib.metadata.distribution", distribution)
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    monkeypatch.setattr("sys.platform", "linux")
    assert f"`{command}`" in extras.install_command("scan", "ray")


def test_the_requirements_of_extras_are_those_of_the_project() -> None:
    printed = subprocess.run([sys.executable, SCRIPT, "scan,fleet"], capture_output=True, check=True, text=True).stdout
    assert [line.partition(">=")[0] for line in printed.splitlines()] == ["pyarrow", "sqlalchemy", "psycopg[binary]"]
    wrong = subprocess.run([sys.executable, SCRIPT, "scann"], capture_output=True, check=False, text=True)
    assert wrong.returncode == 1
    assert "There are: cuda, training" in wrong.stderr


def test_the_extra_with_the_runtime_of_gpus_is_refused_with_a_sentence() -> None:
    refused = subprocess.run([sys.executable, SCRIPT, "scan,cuda"], capture_output=True, check=False, text=True)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "docs/gpu.md" in refused.stderr
