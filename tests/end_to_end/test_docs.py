"""The documentation cannot lie: its commands parse, those that can be run are run, its events satisfy the schema."""

from __future__ import annotations

import itertools
import json
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
import soundfile
import yaml

from soundwatch.daemon.capture.demo.scene import demo_scene
from soundwatch.daemon.cli import COMMANDS, main
from soundwatch.daemon.cli import soundwatch as group
from soundwatch.daemon.cli.doctor import FAULTY
from soundwatch.daemon.config.config import Config
from support.cli_runner import SOUNDWATCH, VALIDATOR, soundwatch

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("*/README.md")])
RUNNABLE = {"replay", "classify", "schema", "check-config", "devices", "tail", "doctor"}
IN_PROCESS = {"check-config", "doctor", "schema", "tail"}  # a new process takes most of their time
ENDLESS = {"--probe", "--follow", "--scores", "--level"}  # or in need of a microphone


def fences(kind: str) -> Iterator[tuple[Path, str]]:
    """Every fenced block of a kind, with its page."""
    for page in PAGES:
        for block in re.findall(rf"^```{kind}\n(.*?)^```", page.read_text(encoding="utf-8"), re.S | re.M):
            yield page, block


def commands() -> Iterator[tuple[str, list[str]]]:
    """Every `soundwatch ...` in a shell block: its words up to a pipe, a redirection or a comment."""
    for page, block in fences("sh"):
        for line in block.replace("\\\n", " ").splitlines():
            lexer = shlex.shlex(line.partition(" #")[0], posix=True, punctuation_chars="|&;>")
            lexer.whitespace_split = True
            for is_cut, part in itertools.groupby(lexer, key=lambda word: not word.strip("|&;>")):
                words = [] if is_cut else list(part)
                if "soundwatch" in words[:2]:
                    yield page.name, words[words.index("soundwatch") + 1 :]


COMMANDS_SHOWN = list(commands())
DISTINCT_SHOWN = list(dict.fromkeys(tuple(words) for _, words in COMMANDS_SHOWN if words))


def test_the_readme_shows_commands() -> None:
    assert {words[0] for page, words in COMMANDS_SHOWN if page == "README.md" and words} >= {"run", "replay", "devices"}


@pytest.mark.parametrize(("page", "words"), COMMANDS_SHOWN, ids=lambda value: " ".join(value) if value else "-")
def test_every_command_shown_is_one_that_the_program_understands(page: str, words: list[str]) -> None:
    if not words or words[0].startswith("-"):
        return
    command = group.get_command(click.Context(group), words[0])
    assert command is not None, f"{page}: soundwatch {words[0]}"
    if "--help" not in words:
        command.make_context(words[0], list(words[1:]), resilient_parsing=False)


@pytest.fixture(scope="module")
def shown_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the documentation names, and the journal of a short run of the demo."""
    folder = tmp_path_factory.mktemp("shown")
    for name in ("street.wav", "yard.flac"):
        soundfile.write(folder / name, demo_scene(22_050, 12.0).T, 22_050)
    for name in ("config.yaml", "my.yaml"):
        (folder / name).write_bytes((ROOT / "config.yaml").read_bytes())
    (folder / "state").mkdir()
    assert run_until_hello("run", "--device", "demo", "--journal", str(folder / "state" / "journal.db")) == 0
    return folder


@pytest.mark.parametrize(
    "words",
    [words for words in DISTINCT_SHOWN if words[0] in RUNNABLE and not ENDLESS & set(words)],
    ids=" ".join,
)
def test_every_command_shown_that_needs_no_microphone_runs(
    words: tuple[str, ...],
    shown_files: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(shown_files, tmp_path, dirs_exist_ok=True)
    code: object
    if words[0] in IN_PROCESS:
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stopped:
            main(list(words))
        code, (output, log) = stopped.value.code, capfd.readouterr()
        assert "Traceback" not in log, log
    else:
        done = soundwatch(*words, cwd=tmp_path)
        code, output, log = done.returncode, done.stdout.decode(), done.stderr.decode()
    assert code in {0, FAULTY if words[0] == "doctor" else 0}, log
    assert output or words[0] == "tail"


@pytest.mark.parametrize(
    "words", [words for words in DISTINCT_SHOWN if words[:3] == ("run", "--device", "demo")], ids=" ".join
)
def test_every_run_of_the_demo_that_is_shown_listens_until_it_is_stopped(words: tuple[str, ...]) -> None:
    assert run_until_hello(*words) == 0


def run_until_hello(*words: str) -> int:
    """Stop a live run after its `hello`, and return its result."""
    with subprocess.Popen([SOUNDWATCH, *words], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["type"] == "hello"
        process.send_signal(signal.SIGTERM)
        process.stdout.read()
    return process.returncode


def test_every_event_shown_satisfies_the_schema() -> None:
    shown = [
        json.loads(line)
        for kind in ("json", "jsonl")
        for _, block in fences(kind)
        for line in block.splitlines()
        if line.startswith('{"schema"')
    ]
    assert {line["type"] for line in shown} >= {"hello", "start", "update", "end", "gap", "stats"}
    for line in shown:
        VALIDATOR.validate(line)


def test_every_configuration_shown_is_one(tmp_path: Path) -> None:
    from soundwatch.daemon.config.file import load_config

    shown = [block for _, block in fences("yaml")]
    for block in shown:
        path = tmp_path / "config.yaml"
        path.write_text(block)
        assert isinstance(load_config(path), Config), yaml.safe_load(block)


def test_every_link_between_pages_has_a_target() -> None:
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:|#)([^)#\s]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_command_is_documented() -> None:
    told = {words[0] for _, words in COMMANDS_SHOWN if words}
    assert set(COMMANDS) <= told


def test_every_decision_is_in_their_index() -> None:
    index = (ROOT / "docs" / "decisions" / "README.md").read_text("utf-8")
    told = re.findall(r"^\| \[(\d{4})\]\(\1-[\w-]+\.md\) \| \S", index, re.M)
    assert sorted(told) == sorted(path.name[:4] for path in ROOT.glob("docs/decisions/0*.md"))


def test_quoted_code_is_in_its_file() -> None:
    quoted = [
        (page.name, file, chunk)
        for page in PAGES
        for file, block in re.findall(r"^<!-- from (\S+) -->\n```\w+\n(.*?)^```", page.read_text("utf-8"), re.S | re.M)
        for chunk in re.split(r"^\.\.\.\n", block, flags=re.M)
    ]
    assert {page for page, _, _ in quoted} >= {"extending.md"}
    for page, file, chunk in quoted:
        assert chunk.strip("\n") in (ROOT / file).read_text("utf-8"), f"{page} quotes {file} wrongly:\n{chunk}"


def test_the_recipe_shown_is_one() -> None:
    recipe = pytest.importorskip("soundwatch.training.model.recipe_file")
    text = re.search(r"<!-- recipe -->\n```yml\n(.*?)```", (ROOT / "docs" / "extending.md").read_text("utf-8"), re.S)
    assert text is not None
    shown = recipe.parse_recipe(text[1], "docs/extending.md")
    assert (shown.name, shown.features.mel_max_hz, shown.augmentation.gain_db) == ("urban-far", 8000, 18)


def test_the_index_lists_each_page_once_and_no_page_has_merge_markers() -> None:
    rows = re.findall(r"^\| \[[^\]]*\]\(([^)]+)\)", (ROOT / "docs" / "index.md").read_text("utf-8"), re.M)
    assert len(rows) == len(set(rows))
    for page in PAGES:
        assert not re.search(r"^(<<<<<<<|=======$|>>>>>>>)", page.read_text("utf-8"), re.M), page
