"""Completion of the command line by a shell."""

from __future__ import annotations

import sys

import pytest
from click.shell_completion import BashComplete

from soundwatch.daemon.cli import soundwatch


def completed(words: list[str], begun: str) -> set[str]:
    """Return what bash offers for the word that is begun."""
    return {item.value for item in BashComplete(soundwatch, {}, "soundwatch", "").get_completions(words, begun)}


def test_commands_subcommands_and_options_are_completed() -> None:
    assert completed([], "re") == {"replay", "restore"}
    assert completed(["rules"], "te") == {"test"}
    assert completed(["tail"], "--si") == {"--since"}


def test_a_command_without_its_package_or_of_another_name_completes_to_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    monkeypatch.delitem(sys.modules, "soundwatch.training.cli.train", raising=False)
    assert completed(["train"], "--d") == set()
    assert completed(["unknown"], "--d") == set()
    assert capsys.readouterr() == ("", "")
