"""What users install: the wheel, built from the checkout and from the source distribution, in a clean environment."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import urllib.parse
import venv
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from soundwatch.training.model.recipe_file import shipped_recipes
from support.band_model import write_band_model
from support.cli_runner import soundwatch
from support.fakes import silence, tone

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "constraints.txt"
pytestmark = pytest.mark.timeout(420)  # installing takes a minute where the machine is busy
EPOCH = "1764115200"
CONFIG = "node: golden\ndetection: {min_duration_s: 0.1, cooldown_s: 0.3, update_s: 0.4}\n"


def build(source: Path, target: Path, kind: str) -> Path:
    """A wheel or a source distribution, as any build front end makes it."""
    command = [sys.executable, "-m", "hatchling", "build", "-d", str(target), "-t", kind]
    subprocess.run(command, cwd=source, env=os.environ | {"SOURCE_DATE_EPOCH": EPOCH}, check=True, capture_output=True)
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Clone the checkout with uncommitted changes, since building writes into it."""
    clone = tmp_path_factory.mktemp("clone") / "soundwatch"
    if shutil.which("git") is None or not (ROOT / ".git").exists():
        pytest.skip("this is no clone, or there is no git")
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True, capture_output=True)
    ours = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    for name in filter(None, ours.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, clone / name)
    return clone


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(checkout, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the programs of an environment with only the wheel and its dependencies."""
    folder = tmp_path_factory.mktemp("installed")
    venv.create(folder)
    # The pip of this environment, since installing one takes seconds. Modules are compiled when they are imported.
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin/python")]
    options = ["--quiet", "--no-compile", "--constraint", str(LOCK)]
    done = subprocess.run([*pip, "install", *options, str(wheel)], capture_output=True, text=True, check=False)
    if "No matching distribution" in done.stderr or "ConnectionError" in done.stderr:
        pytest.skip(f"the package index cannot be reached: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    return folder / "bin"


def run(installed: Path, *arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """The installed program, with nothing of the checkout in its environment."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(installed / "soundwatch"), *map(str, arguments)], cwd=cwd, env=env, capture_output=True, check=False
    )


def test_a_wheel_and_a_clone_ship_the_same_recipes(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = [name for name in file.namelist() if name.startswith("soundwatch/training/recipes/")]
        packed = {Path(name).stem: file.read(name).decode() for name in names}
    assert packed == shipped_recipes() == {path.stem: path.read_text() for path in ROOT.glob("training/recipes/*")}


def test_a_wheel_is_the_same_to_the_byte_whether_built_here_again_or_from_the_source_distribution(
    checkout: Path, wheel: Path, tmp_path: Path
) -> None:
    sdist = build(checkout, tmp_path / "one", "sdist")
    recording = checkout / "street.wav"  # of the user of the clone
    recording.write_bytes(b"RIFF")
    assert build(checkout, tmp_path / "two", "sdist").read_bytes() == sdist.read_bytes()
    recording.unlink()
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    (unpacked,) = (tmp_path / "elsewhere").iterdir()
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=checkout, check=True, capture_output=True).stdout.decode()
    assert not [name for name in filter(None, tracked.split("\0")) if not (unpacked / name).exists()]
    assert not (unpacked / ".git").exists()
    for path in unpacked.rglob("*"):
        os.utime(path, (1, 1))
    rebuilt = build(unpacked, tmp_path / "three", "wheel")
    assert rebuilt.name == wheel.name
    assert rebuilt.read_bytes() == wheel.read_bytes()


def test_a_git_tag_is_the_version_and_an_unversioned_tree_can_be_built(checkout: Path, tmp_path: Path) -> None:
    git = ["git", "-c", "user.name=test", "-c", "user.email=test@example.org"]
    tagged = tmp_path / "tagged"
    shutil.copytree(checkout, tagged)
    subprocess.run([*git, "add", "--all"], cwd=tagged, check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "-m", "release"], cwd=tagged, check=True)
    subprocess.run([*git, "tag", "v7.8.9"], cwd=tagged, check=True)
    assert build(tagged, tmp_path / "one", "wheel").name.startswith("soundwatch-7.8.9-")
    packed = subprocess.run(["git", "archive", "HEAD"], cwd=tagged, check=True, capture_output=True).stdout
    for name, known in (("archive", True), ("copy", False)):
        with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
            archive.extractall(tmp_path / name, filter="data")
        if not known:
            (tmp_path / name / ".git_archival.txt").unlink()
        built = build(tmp_path / name, tmp_path / f"{name}-dist", "wheel")
        assert ("-7.8.9-" in built.name) == known, built.name


def test_the_wheel_has_all_data_files(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        entry_points = next(archive.read(name) for name in names if name.endswith("entry_points.txt"))
    for room in ("daemon", "training", "export"):
        for path in (ROOT / room / "soundwatch").rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(ROOT / room).as_posix() in names
    for unit in ("soundwatch.service", "soundwatch-user.service"):
        assert f"soundwatch/daemon/systemd/{unit}" in names
    assert {name.partition("/")[0] for name in names} == {
        "soundwatch",
        next(iter(wheel.name.split("-py3")[:1])) + ".dist-info",
    }
    assert b"soundwatch = soundwatch.daemon.__main__:main" in entry_points


def test_the_installed_program_prints_its_version_and_has_no_torch(
    installed: Path, wheel: Path, tmp_path: Path
) -> None:
    version = wheel.name.split("-")[1]
    assert run(installed, "--version", cwd=tmp_path).stdout.decode() == f"soundwatch, version {version}\n"
    refused = run(installed, "train", "--help", cwd=tmp_path)
    assert refused.returncode == 3
    assert b"pip install '.[training]'" in refused.stderr
    assert not list(installed.parent.glob("lib/python*/site-packages/torch*"))


def test_the_installed_program_gives_the_lines_of_the_checkout(installed: Path, tmp_path: Path) -> None:
    rate_hz = 16_000
    scene = np.concatenate(
        [silence(1.0, rate_hz), tone(300, 1.4, rate_hz), silence(0.9, rate_hz), tone(3000, 0.8, rate_hz, 0.2)], axis=1
    )
    soundfile.write(tmp_path / "scene.wav", scene.T, rate_hz, subtype="PCM_16")
    (tmp_path / "config.yaml").write_text(CONFIG)
    write_band_model(tmp_path / "bands.onnx")
    arguments = ("replay", "scene.wav", "--model", "bands.onnx", "--config", "config.yaml")
    theirs, ours = run(installed, *arguments, cwd=tmp_path), soundwatch(*arguments, cwd=tmp_path)
    assert theirs.returncode == 0, theirs.stderr

    def without_version(text: bytes) -> bytes:
        return re.sub(rb'"version":"[^"]*"', b"", text, count=1)

    assert without_version(theirs.stdout) == without_version(ours.stdout)
    golden = (ROOT / "tests/golden/scene.jsonl").read_text().splitlines()
    kinds = [[json.loads(line)["type"] for line in lines] for lines in (theirs.stdout.decode().splitlines(), golden)]
    assert kinds[0] == kinds[1]


def test_the_installed_program_has_its_models_its_units_and_its_devices(installed: Path, tmp_path: Path) -> None:
    shown = run(installed, "check-config", cwd=tmp_path)
    assert shown.returncode == 0, shown.stderr
    assert b"# model urban@sha256:" in shown.stdout
    dry = run(installed, "service", "install", "--user", "--dry-run", cwd=tmp_path)
    assert dry.returncode == 0, dry.stderr
    assert f"ExecStart={installed / 'soundwatch'} run".encode() in dry.stdout
    listed = run(installed, "devices", "--json", cwd=tmp_path)
    assert isinstance(json.loads(listed.stdout), list) if listed.returncode == 0 else b"libportaudio2" in listed.stderr


def locked() -> dict[str, str]:
    """Every release of the lock by its package's name."""
    lines = [line for line in LOCK.read_text().splitlines() if not line.startswith("#")]
    return dict(line.split("==") for line in lines)


def test_the_lock_holds_every_dependency_at_a_release_that_the_project_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    tested = ("training", "teacher", "tensorboard", "scan", "ray", "triton", "wyoming", "apprise", "pictures", "dev")
    wanted = [*project["dependencies"], *(item for name in tested for item in extras[name])]
    releases = locked()
    linux = {"sys_platform": "linux", "platform_machine": "x86_64"}
    for text in wanted:
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate(linux):
            name = canonicalize_name(requirement.name)
            assert name in releases, f"{text}: run `make lock`"
            assert requirement.specifier.contains(releases[name]), (
                f"{text}, locked at {releases[name]}: run `make lock`"
            )


def test_the_lock_names_no_build_and_no_place() -> None:
    for name, release in locked().items():
        assert re.fullmatch(r"[a-z0-9.-]+", name)
        assert re.fullmatch(r"[0-9][0-9a-z.]*", release), f"{name}=={release}: pip is to choose the build"
    assert not urllib.parse.urlsplit(LOCK.read_text()).netloc


def test_a_tagged_release_is_the_newest_in_the_changelog() -> None:
    said = subprocess.run(
        ["git", "tag", "--points-at", "HEAD", "--list", "v*"], cwd=ROOT, capture_output=True, text=True, check=False
    ).stdout.split()
    newest = re.search(r"^## (\S+?),? (.*)$", (ROOT / "CHANGELOG.md").read_text(), re.M)
    assert newest is not None
    for tag in said:
        assert (newest[1], newest[2]) != (tag.removeprefix("v"), "unreleased"), "give the release its date"
        assert newest[1] == tag.removeprefix("v")
