"""SIGHUP before and after the part of the program that acts on it."""

from __future__ import annotations

import signal

import pytest

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
