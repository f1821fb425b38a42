"""PortAudio behind one door: loaded late, and never waited for without end.

Conventions: `sounddevice` is imported only when a device is asked for: it costs 200 ms, and fails where
PortAudio's library is missing. What may hang (a stopped sound server holds every call) runs in a thread
that can be left behind.
Source: tried with PulseAudio killed and stopped: `Pa_Initialize`, `Pa_OpenStream` and `Pa_AbortStream` hang.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import TypeVar

from soundwatch.daemon.capture.quiet_stderr import capture_native_stderr
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError

T = TypeVar("T")


def load_portaudio() -> ModuleType:
    """The module `sounddevice`, with PortAudio started.

    Raises:
        SourceUnavailableError: PortAudio's library is missing or does not start.
    """
    try:
        import sounddevice
    except Exception as error:  # PortAudio's own error is a class of the module that failed to load
        raise SourceUnavailableError(
            f"Microphones need PortAudio, which does not load here: {error}. On Debian and Ubuntu it comes with "
            "`sudo apt-get install libportaudio2`. Recordings, `-` and `demo` work without it."
        ) from error
    module: ModuleType = sounddevice
    return module


def call_portaudio(doing: str, function: Callable[[ModuleType], T], timeout_s: float = 10.0) -> T:
    """What `function` makes of the loaded module, in a thread that is left behind if it hangs.

    Args:
        doing: What is tried, as the start of a sentence.
        function: Called with the module `sounddevice`.
        timeout_s: How long it may take.

    Raises:
        SourceError: PortAudio refused, or did not answer in time.
    """
    answer: Future[T] = Future()

    def ask() -> None:
        try:
            answer.set_result(function(load_portaudio()))
        except Exception as error:  # noqa: BLE001 -- raised again below, in the thread that asked
            answer.set_exception(error)

    try:
        with capture_native_stderr() as reasons:
            threading.Thread(target=ask, name="portaudio", daemon=True).start()
            return answer.result(timeout_s)
    except TimeoutError as error:
        _leave_behind()
        raise SourceError(
            f"{doing} took more than {timeout_s:g} s: the sound system does not answer. Check that its server "
            "(PulseAudio, PipeWire, JACK) runs, or restart it."
        ) from error
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise SourceError(f"{doing} failed: {_message(error, reasons)}.") from error


def rescan_devices() -> None:
    """Make PortAudio look for devices again: it knows those only that were there when it started.

    Every open stream of this process ends by it.

    Raises:
        SourceError: The sound system does not answer.
    """
    call_portaudio("Looking for devices", _renew)


def _renew(sounddevice: ModuleType) -> None:
    sounddevice._terminate()
    sounddevice._initialize()


def _message(error: Exception, reasons: list[str]) -> str:
    """PortAudio's words, and the last of ALSA's, which often name the true reason."""
    said = str(error.args[0]) if error.args else str(error)
    return f"{said} ({reasons[-1].strip()})" if reasons else said


def _leave_behind() -> None:
    """Keep the interpreter's exit from waiting for a PortAudio that hangs."""
    module = sys.modules.get("sounddevice")
    if module is not None and hasattr(module, "_exit_handler"):
        atexit.unregister(module._exit_handler)
