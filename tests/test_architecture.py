"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("daemon", "training", "export")
STAGES = ("capture", "resample", "window", "level", "mel", "classify", "decide")
MAY_IMPORT = {"daemon": {"daemon"}, "training": {"training", "daemon"}, "export": {"export", "training", "daemon"}}
LOWEST = {"types", "errors", "contract"}


def modules(room: str) -> list[Path]:
    found = sorted((ROOT / room / "soundwatch").rglob("*.py"))
    assert found, f"no modules in {room}"
    return found


def imports(path: Path, *, at_top: bool = False) -> Iterator[str]:
    """Names of the modules that a file imports; with `at_top`, only when it is itself imported."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def stage_of(path: Path) -> str:
    return path.relative_to(ROOT / "daemon/soundwatch/daemon").parts[0].removesuffix(".py")


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_holds_its_source_root_and_no_modules_of_its_own(room: str) -> None:
    assert list((ROOT / room).glob("*.py")) == []
    assert not (ROOT / room / "soundwatch" / "__init__.py").exists()


@pytest.mark.parametrize("room", ROOMS)
def test_imports_between_rooms_point_one_way(room: str) -> None:
    for path in modules(room):
        rooms = {name.split(".")[1] for name in imports(path) if name.startswith("soundwatch.")}
        assert rooms <= MAY_IMPORT[room], path


def test_stages_never_import_each_other() -> None:
    for path in modules("daemon"):
        stage = stage_of(path)
        if stage in STAGES:
            others = {name.split(".")[2] for name in imports(path) if name.startswith("soundwatch.daemon.")}
            assert others & set(STAGES) <= {stage}, path


def test_records_and_errors_import_nothing_above_them() -> None:
    for path in modules("daemon"):
        if stage_of(path) in LOWEST:
            ours = {name.split(".")[2] for name in imports(path) if name.startswith("soundwatch.daemon.")}
            assert ours <= LOWEST, path


def test_only_the_app_and_the_command_line_know_the_concrete_sources() -> None:
    knowing = {
        stage_of(path)
        for path in modules("daemon")
        if any("soundwatch.daemon.capture" in name for name in imports(path))
    }
    assert knowing <= {"app", "cli", "doctor", "recordings", "running", "scan", "capture"}


def test_the_daemon_imports_torch_only_inside_its_torchscript_backend() -> None:
    for path in modules("daemon"):
        assert not {name.split(".")[0] for name in imports(path, at_top=True)} & {"torch", "torchaudio"}, path
        if stage_of(path) != "torchscript":
            assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchaudio"}, path


@pytest.mark.parametrize("command", ["run", "replay", "classify", "devices", "check-config", "schema", "scan"])
def test_starting_the_command_line_imports_no_torch_and_no_heavy_library(command: str) -> None:
    program = (
        "import sys; from soundwatch.daemon.cli import soundwatch\n"
        f"soundwatch.main(['{command}', '--help'], standalone_mode=False)\n"
        "heavy = {'torch', 'onnxruntime', 'sounddevice', 'matplotlib', 'rich', 'ray', 'pyarrow'}\n"
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


@pytest.mark.parametrize("room", ROOMS)
def test_every_file_can_be_read_in_one_sitting(room: str) -> None:
    for path in modules(room):
        assert path.read_text(encoding="utf-8").count("\n") <= 300, path
