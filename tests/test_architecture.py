"""The rules of docs/architecture.md that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

import pytest

from support.source_trees import ROOT, modules, tree_of

SOURCE_ROOTS = ("daemon", "training", "export")
MAY_IMPORT = {"daemon": {"daemon"}, "training": {"training", "daemon"}, "export": {"export", "training", "daemon"}}
# Lowest first. A package imports packages of lower floors, never of its own floor or of a higher one, nor a module that
# stands beside the packages without a floor.
DAEMON_FLOORS: Final = (
    ("core",),
    ("config",),
    ("capture", "frontend", "inference", "detection", "events", "tables", "system", "schedule"),
    ("pipeline", "journal", "status", "level"),
    ("sinks", "engine", "scan", "statistics"),
    ("web", "clips", "shadow", "rules"),
    ("app", "fleet", "diagnostics", "backup"),
    ("cli",),
)
TRAINING_FLOORS: Final = (
    ("model",),
    ("data",),
    ("distillation",),
    ("sounds",),
    ("fit",),
    ("crossval", "evaluation"),
    ("cli",),
)
CORE_FLOORS: Final = (
    ("errors",),
    ("languages", "network", "process", "records"),
    ("files", "text"),
    ("model", "time"),
)
CAPTURE_FLOORS: Final = (
    ("descriptors", "samples", "monitoring"),
    ("recordings", "streams", "portaudio"),
    ("demo", "sound_server"),
    ("microphones",),
)
WEB_FLOORS: Final = (("http",), ("live",), ("api",))
FLOORS: Final = {
    "daemon": DAEMON_FLOORS,
    "daemon.core": CORE_FLOORS,
    "daemon.capture": CAPTURE_FLOORS,
    "daemon.web": WEB_FLOORS,
    "daemon.diagnostics": (("network",), ("doctor", "privacy")),
    "daemon.journal": (("entry", "file", "seq_ranges"), ("store",), ("health", "location"), ("journal",), ("queries",)),
    "training": TRAINING_FLOORS,
    "training.data": (("audio",), ("datasets",), ("checks", "windows")),
    "training.fit": (("scores", "steps"), ("setup",), ("epochs",), ("head", "reports"), ("runs",)),
    "training.evaluation": (("detection",), ("recordings",), ("streets",), ("thresholds", "pages")),
}
TOP_LEVEL: Final = {
    *("daemon", "training", "export", "tests", "benchmarks", "docs", "scripts", "home-assistant"),
    *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "NOTICE"),
    *("pyproject.toml", "constraints.txt", "config.yaml", "Makefile", "Containerfile", "mkdocs.yml"),
}
LONGEST_FILE_LINES: Final = 300  # a file this long holds a second idea


@pytest.fixture(scope="module", autouse=True)
def _forget_trees() -> Iterator[None]:
    """Forget the trees at the end, since they are large."""
    yield
    tree_of.cache_clear()


@cache
def imports(path: Path, *, at_top: bool = False) -> tuple[str, ...]:
    """Return the names of the modules that a file imports; with `at_top`, only when it is itself imported."""
    return tuple(_imports(path, at_top))


def _imports(path: Path, at_top: bool) -> Iterator[str]:
    tree = tree_of(path)
    for node in tree.body if at_top else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{path}: relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def string_imports(path: Path) -> Iterator[str]:
    """Modules of ours that a file names in strings, as `module:function` or as a whole dotted name."""
    yield from re.findall(r"[\"'](soundwatch\.(?:daemon|training|export)\.[a-z_.]+)[\"':]", path.read_text("utf-8"))


def packages_imported(path: Path, parent: str) -> set[str]:
    """Return the packages of a parent, such as `daemon` or `daemon.capture`, that a file imports."""
    prefix = f"soundwatch.{parent}."
    names = [*imports(path), *string_imports(path)]
    return {name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)}


def package_of(path: Path, root: str) -> str:
    return path.relative_to(ROOT / root / "soundwatch" / root).parts[0]


def files_of(folder: Path, name: str) -> list[Path]:
    """Return the files of a package, or the one file of a module that has a floor of its own."""
    found = [*(folder / name).rglob("*.py"), *folder.glob(f"{name}.py")]
    assert found, f"{folder} has no {name}"
    return found


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_top_level_folder_has_a_source_root_and_no_modules(root: str) -> None:
    assert list((ROOT / root).glob("*.py")) == []
    assert not (ROOT / root / "soundwatch" / "__init__.py").exists()


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_imports_between_source_roots_point_one_way(root: str) -> None:
    for path in modules(root):
        roots = {name.split(".")[1] for name in imports(path) if name.startswith("soundwatch.")}
        assert roots <= MAY_IMPORT[root], path


@pytest.mark.parametrize(("parent", "floors"), FLOORS.items())
def test_a_package_imports_lower_floors_only(parent: str, floors: tuple[tuple[str, ...], ...]) -> None:
    folder = ROOT / parent.partition(".")[0] / "soundwatch" / Path(*parent.split("."))
    floor_of = {package: number for number, floor in enumerate(floors) for package in floor}
    assert {path.parent.name for path in folder.glob("*/__init__.py")} <= floor_of.keys()
    upward = {
        (package, other)
        for package, floor in floor_of.items()
        for path in files_of(folder, package)
        for other in packages_imported(path, parent) - {package}
        if not other.startswith("_") and floor_of.get(other, len(floors)) >= floor
    }
    assert not upward


def test_the_document_names_every_package_of_the_daemon_and_its_floor() -> None:
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    drawn = re.findall(r"^    (\d)  (\w+(?: +[·]? ?\w+)*)$", text, re.MULTILINE)
    floors = {int(number): set(re.findall(r"\w+", names)) for number, names in drawn}
    assert floors == {number: set(floor) for number, floor in enumerate(DAEMON_FLOORS, 1)}
    assert set(re.findall(r"^\| `(\w+)` \|", text, re.MULTILINE)) >= {name for floor in DAEMON_FLOORS for name in floor}


def classes_with_state(root: str) -> set[tuple[str, str]]:
    """Yield module and name of each class with its own constructor, which is no record."""
    found = set()
    for path in modules(root):
        module = ".".join(path.relative_to(ROOT / root).with_suffix("").parts)
        for node in tree_of(path).body:
            if isinstance(node, ast.ClassDef) and any(getattr(part, "name", "") == "__init__" for part in node.body):
                found.add((module, node.name))
    return found


def calls(path: Path) -> Iterator[tuple[str, str]]:
    """Module and name of everything imported that a file calls, or calls a method of."""
    tree = tree_of(path)
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module
        for alias in node.names
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.value if isinstance(node.func, ast.Attribute) else node.func
            if isinstance(called, ast.Name) and called.id in imported:
                yield imported[called.id]


def test_only_app_constructs_the_parts_of_other_packages() -> None:
    with_state = classes_with_state("daemon")
    assert ("soundwatch.daemon.journal.journal", "Journal") in with_state
    below = {package for floor in DAEMON_FLOORS[:6] for package in floor}
    found = {
        (package_of(path, "daemon"), name)
        for path in modules("daemon")
        for module, name in calls(path)
        if (module, name) in with_state
        and package_of(path, "daemon") in below
        and module.split(".")[2] not in ("core", "config", package_of(path, "daemon"))
    }
    assert found == set()


def test_sql_stays_in_the_journal_and_in_the_store_of_the_fleet() -> None:
    statement = re.compile(r"\s*(?:SELECT|INSERT|UPDATE|DELETE|CREATE|DROP|ALTER|PRAGMA|VACUUM)\s")
    found = {
        package_of(path, "daemon")
        for path in modules("daemon")
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and statement.match(node.value)
    }
    assert "journal" in found, "the pattern finds statements"
    assert found <= {"journal", "fleet"}


@pytest.mark.parametrize("root", ["daemon", "training"])
def test_no_module_is_outside_the_packages(root: str) -> None:
    flat = {path.name for path in (ROOT / root / "soundwatch" / root).glob("*.py")}
    assert flat <= {"__init__.py", "__main__.py", "_version.py"}


@pytest.mark.parametrize("root", ["daemon", "training"])
def test_each_package_has_its_purpose_and_limits_in_its_docstring(root: str) -> None:
    folder = ROOT / root / "soundwatch" / root
    for path in sorted([*folder.glob("*/__init__.py"), *folder.glob("*/*/__init__.py")]):
        docstring = ast.get_docstring(tree_of(path)) or ""
        assert "Never" in docstring, path


def test_the_daemon_imports_torch_only_inside_its_torchscript_backend() -> None:
    for path in modules("daemon"):
        assert not {name.split(".")[0] for name in imports(path, at_top=True)} & {"torch", "torchaudio"}, path
        if path.name != "torchscript_model.py":
            assert not {name.split(".")[0] for name in imports(path)} & {"torch", "torchaudio"}, path


@pytest.mark.parametrize("root", SOURCE_ROOTS)
def test_a_module_that_a_text_names_exists(root: str) -> None:
    packages = [ROOT / other / "soundwatch" / other for other in SOURCE_ROOTS]
    named = re.compile(r"(?<!'s )`((?:[a-z0-9_]+/)*[a-z0-9_]+\.py)`")  # without modules of other projects
    missing = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in modules(root)
        for name in named.findall(path.read_text(encoding="utf-8"))
        if not any((folder / name).exists() for folder in (path.parent, ROOT, *packages))
    }
    assert not missing


def test_starting_the_command_line_imports_no_torch_and_no_heavy_library() -> None:
    program = (
        "import sys; from soundwatch.daemon.cli import soundwatch\n"
        "heavy = {'torch', 'onnxruntime', 'sounddevice', 'matplotlib', 'rich', 'ray', 'pyarrow'}\n"
        "for command in ('run', 'replay', 'classify', 'devices', 'check-config', 'schema', 'scan'):\n"
        "    soundwatch.main([command, '--help'], standalone_mode=False)\n"
        "    print(command, *sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr.split() == ["run", "replay", "classify", "devices", "check-config", "schema", "scan"]


@pytest.mark.parametrize("root", [*SOURCE_ROOTS, "benchmarks", "scripts", "tests"])
def test_every_file_can_be_read_in_one_sitting(root: str) -> None:
    paths = sorted((ROOT / root).rglob("*.py"))
    assert paths
    for path in paths:
        assert path.read_text(encoding="utf-8").count("\n") <= LONGEST_FILE_LINES, path


def test_the_top_level_holds_the_documented_entries_only() -> None:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode:
        pytest.skip("not a git checkout")
    entries = {path.split("/")[0] for path in listed.stdout.splitlines()}
    assert {entry for entry in entries if not entry.startswith(".")} == TOP_LEVEL
