"""Every command of README.md exists and its options parse; `make newcomer` runs the commands themselves."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import newcomer
import pytest

from soundwatch.daemon.cli import COMMANDS
from soundwatch.daemon.cli import soundwatch as group

ROOT = Path(__file__).resolve().parents[1]
LINES = newcomer.shown_commands((ROOT / "README.md").read_text("utf-8"))
PARTS = [part.strip() for line in LINES for part in re.split(r"\||&&", newcomer.without_comment(line))]
OTHER_PROGRAMS = {"git", "cd", "jq", "arecord"}


def test_the_commands_of_all_blocks_are_found() -> None:
    assert LINES[0].startswith("git clone")
    assert len(LINES) > 30
    assert {shlex.split(part)[0] for part in PARTS} == {"soundwatch", "make", "pip", *OTHER_PROGRAMS}


@pytest.mark.parametrize("part", [part for part in PARTS if part.startswith("soundwatch")])
def test_a_command_exists_and_its_options_parse(part: str) -> None:
    words = shlex.split(part)[1:]
    assert words[0] in COMMANDS
    if not COMMANDS[words[0]][0].startswith("soundwatch.daemon."):
        pytest.skip("imports torch; tests/end_to_end/test_docs.py parses it")
    command = group.get_command(click.Context(group), words[0])
    assert command is not None
    command.make_context(words[0], words[1:])


def test_every_target_of_make_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.M))
    assert {shlex.split(part)[1] for part in PARTS if part.startswith("make")} <= targets


@pytest.mark.parametrize(
    ("installed", "requirements"),
    [([], "--editable"), (["onnxruntime"], "cpu"), (["onnxruntime", "onnxruntime_gpu"], "cpu")],
)
def test_an_update_keeps_one_build_of_onnx_runtime(installed: list[str], requirements: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "Makefile", tmp_path)
    for name in ("pyproject.toml", "constraints.txt", ".venv/bin/python"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    for name in installed:
        (tmp_path / f".venv/lib/python3.11/site-packages/{name}-1.32.0.dist-info").mkdir(parents=True)
    env = {"PATH": os.environ["PATH"]}
    update, test = (
        subprocess.run(["make", "-n", target], cwd=tmp_path, env=env, check=True, capture_output=True, text=True).stdout
        for target in (".venv/run.stamp", ".venv/quick.stamp")
    )
    assert (
        f"{requirements}-requirements" in update or f"pip install --disable-pip-version-check {requirements}" in update
    )
    assert ("pip uninstall" in update) == (len(installed) == 2)
    assert ("pip uninstall" in test) == bool(installed)


def test_every_extra_that_is_installed_exists() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    installs = [part for line in LINES for part in re.findall(r"pip install '\.\[([\w,]+)\]'", line)]
    assert installs
    assert {extra for names in installs for extra in names.split(",")} <= set(project["optional-dependencies"])


def test_every_command_without_an_end_is_stopped() -> None:
    endless = [part for part in PARTS if re.match(r"soundwatch run|make run|soundwatch tail --follow", part)]
    assert all(newcomer.seconds_until_stop(part) is not None for part in endless)
    assert newcomer.seconds_until_stop("soundwatch replay street.wav") is None


def test_the_program_that_is_shown_compiles() -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.S | re.M)
    assert blocks
    for block in blocks:
        compile(block, "README.md", "exec")


def test_what_the_readme_leaves_to_its_reader_is_filled_in(tmp_path: Path) -> None:
    person = newcomer.Newcomer(tmp_path, Path("/repository"), cpu=True, data=Path("/shared"))
    typed = [person.adapted(newcomer.without_comment(line)) for line in LINES]
    assert typed[:2] == ["git clone /repository soundwatch && cd soundwatch", "make run CPU=1"]
    assert "make extras EXTRAS=training,teacher" in typed
    [training] = [command for command in typed if command.startswith("soundwatch train")]
    assert "--data /shared/data/urbansound8k " in training
    assert "--teacher /shared/models/yamnet.tflite --sounds /shared/data/sounds " in training
    assert training.endswith("--train-folds 2 --test-folds 1 --epochs 1 --out runs/mine")
    assert not [command for command in typed if "broker.lan" in command or "HOST" in command]
