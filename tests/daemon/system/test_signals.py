"""SIGHUP before and after the part of the program that acts on it."""

from __future__ import annotations

import importlib
import signal
from types import ModuleType

import click
import pytest

from soundwatch.daemon import cli
from soundwatch.daemon.system.signals import hangups_kept, hangups_to

pytestmark = pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="this system has no SIGHUP")


def test_a_hangup_during_the_start_is_acted_on_later_and_one_during_the_end_ends_nothing() -> None:
    calls = list[str]()
    before = signal.getsignal(signal.SIGHUP)
    with hangups_kept():
        signal.raise_signal(signal.SIGHUP)
        signal.raise_signal(signal.SIGHUP)
        with hangups_to(lambda: calls.append("reload")):
            assert calls == ["reload"]
            signal.raise_signal(signal.SIGHUP)
            assert calls == ["reload", "reload"]
        signal.raise_signal(signal.SIGHUP)
    assert calls == ["reload", "reload"]
    assert signal.getsignal(signal.SIGHUP) == before
    with hangups_kept(), hangups_to(lambda: calls.append("late")):
        assert calls == ["reload", "reload"], "a signal of an earlier run is forgotten"


@pytest.mark.parametrize(("command", "kept"), [("run", True), ("tail", False)])
def test_a_hangup_while_the_command_is_imported_is_kept_for_run_only(
    monkeypatch: pytest.MonkeyPatch, command: str, kept: bool
) -> None:
    calls, load, before = list[str](), importlib.import_module, signal.getsignal(signal.SIGHUP)

    def interrupted(name: str) -> ModuleType:
        if signal.getsignal(signal.SIGHUP) != before:
            signal.raise_signal(signal.SIGHUP)
        return load(name)

    monkeypatch.setattr(importlib, "import_module", interrupted)
    with click.Context(cli.soundwatch) as context:
        assert cli.soundwatch.resolve_command(context, [command])[0] == command
        with hangups_to(lambda: calls.append("reload")):
            assert calls == (["reload"] if kept else [])
    assert signal.getsignal(signal.SIGHUP) == before
