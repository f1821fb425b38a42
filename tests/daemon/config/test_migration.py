"""Configuration files of former releases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from click.testing import CliRunner

from soundwatch.daemon.cli import soundwatch
from soundwatch.daemon.config.file import load_config, parse_yaml
from soundwatch.daemon.config.migration import former_names

FORMER = sorted(Path(__file__).with_name("releases").glob("*.yaml"))
TEXT = """\
sinks:
  - json   # here
  - "command:/bin/true,at_once=2"   # two at a time
rules:
  dog:
    then:
      send:
        # the bell
        - {sink: "command:/bin/true", at_once: 3}
"""


def leaves(tree: Any, at: tuple[str, ...] = ()) -> dict[tuple[str, ...], Any]:
    """Return each value of a tree by its path; a list is one value."""
    if not isinstance(tree, dict) or not tree:
        return {at: str(tuple(tree)) if isinstance(tree, list | tuple) else str(tree).removesuffix(".0")}
    return {path: value for key, inner in tree.items() for path, value in leaves(inner, (*at, str(key))).items()}


@pytest.mark.parametrize("path", FORMER, ids=lambda path: path.stem)
def test_each_value_of_a_former_release_keeps_its_meaning(path: Path) -> None:
    tree = parse_yaml(path.read_bytes(), str(path))
    assert tree
    assert leaves(tree).items() <= leaves(msgspec.to_builtins(load_config(path))).items()
    assert list(former_names(parse_yaml(path.read_bytes(), str(path)))) == []


def test_former_names_are_named_and_written_as_the_present_ones(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(TEXT)
    shown = CliRunner().invoke(soundwatch, ["check-config", str(path)])
    assert "# sinks: at_once is the former name of max_parallel" in shown.output
    done = CliRunner().invoke(soundwatch, ["check-config", "--migrate", str(path)])
    assert done.output.splitlines() == [
        "sinks: at_once is now max_parallel",
        "rules.dog.then.send: at_once is now max_parallel",
        f"The former file is {tmp_path / 'config.yaml.bak'}.",
    ]
    assert path.read_text() == TEXT.replace(
        '"command:/bin/true,at_once=2"', "'command:/bin/true,max_parallel=2'"
    ).replace('{sink: "command:/bin/true", at_once: 3}', "{sink: 'command:/bin/true', max_parallel: 3}")
    assert (tmp_path / "config.yaml.bak").read_text() == TEXT
    again = CliRunner().invoke(soundwatch, ["check-config", "--migrate", str(path)])
    assert again.output == f"{path} has no former names.\n"
    assert CliRunner().invoke(soundwatch, ["check-config", "--migrate"]).exit_code == 2


def test_a_check_says_at_its_end_that_the_file_is_valid(tmp_path: Path) -> None:
    path = tmp_path / "my\x1b.yaml"
    path.write_text("node: balcony\n")
    result = CliRunner().invoke(soundwatch, ["check-config", str(path)])
    assert result.exit_code == 0
    assert result.output.splitlines()[-1] == f"# {tmp_path}/my\\x1b.yaml is valid."
    assert yaml.safe_load(result.output)["node"] == "balcony", "all of it is YAML"
    path.write_text("nods: balcony\n")
    assert "is valid" not in CliRunner().invoke(soundwatch, ["check-config", str(path)]).output
