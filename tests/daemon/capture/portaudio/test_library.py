from __future__ import annotations

import atexit
import sys
import threading
from types import ModuleType, SimpleNamespace

import pytest

from soundwatch.daemon.capture.portaudio.library import call_portaudio
from soundwatch.daemon.core.errors import SourceError


class PortAudioError(Exception):
    """Replacement for sounddevice's error, whose module needs the library."""


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Provide a `sounddevice` module without PortAudio's library."""
    monkeypatch.setitem(sys.modules, "sounddevice", SimpleNamespace(_exit_handler=print))


def refuse(_: ModuleType) -> None:
    raise PortAudioError("Error opening InputStream: Device unavailable", -9985)


def test_the_answer_is_given_back() -> None:
    assert call_portaudio("Asking", lambda module: module is sys.modules["sounddevice"])


def test_a_refusal_has_the_attempts_and_portaudios_reason() -> None:
    with pytest.raises(SourceError, match=r"^Opening Mic failed: Error opening InputStream: Device unavailable\.$"):
        call_portaudio("Opening Mic", refuse)


def test_a_bug_stays_a_bug() -> None:
    with pytest.raises(ZeroDivisionError):
        call_portaudio("Asking", lambda _: 1 // 0)


@pytest.mark.slow
def test_a_hanging_sink_does_not_delay_the_exit(monkeypatch: pytest.MonkeyPatch) -> None:
    forgotten: list[object] = []
    monkeypatch.setattr(atexit, "unregister", forgotten.append)
    release = threading.Event()
    with pytest.raises(SourceError, match=r"Opening Mic took more than 0\.05 s: the sound system does not answer"):
        call_portaudio("Opening Mic", lambda _: release.wait(), timeout_s=0.05)
    assert forgotten == [print]
    release.set()


def test_without_the_library_the_message_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    with pytest.raises(SourceError, match="sudo apt-get install libportaudio2"):
        call_portaudio("Asking", lambda _: None)
