"""Calls of PortAudio: the library is loaded late, and each call has a time limit.

Conventions: `sounddevice` is imported only when a device is opened: the import takes 200 ms, and fails where
PortAudio's library is missing. A call that may hang (a stopped sound server blocks every call) runs in a thread
that is abandoned after the limit.
Source: tests with PulseAudio killed and stopped: `Pa_Initialize`, `Pa_OpenStream` and `Pa_AbortStream` hang.
"""

from __future__ import annotations

import atexit
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from types import ModuleType
from typing import Final, TypeVar

from soundwatch.daemon.capture.descriptors.quiet_stderr import capture_native_stderr
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError

T = TypeVar("T")

CALL_S: Final = 10.0  # of a call on a slow machine that starts
ASKED_S: Final = 5.0  # of a call whose result a person waits for
RESTART_ADVICE: Final = "Check that its server (PulseAudio, PipeWire, JACK) runs, or restart it."


def load_portaudio() -> ModuleType:
    """Import the module `sounddevice`, which starts PortAudio.

    Raises:
        SourceUnavailableError: PortAudio's library is missing or does not start.
    """
    try:
        import sounddevice
    except Exception as error:  # PortAudio's error class is in the module that failed to load
        raise SourceUnavailableError(
            f"Microphones need PortAudio, which does not load: {error}. On Debian and Ubuntu install it with "
            "`sudo apt-get install libportaudio2`. Recordings, `-` and `demo` work without it."
        ) from error
    module: ModuleType = sounddevice
    return module


def call_portaudio(doing: str, function: Callable[[ModuleType], T], timeout_s: float = CALL_S) -> T:
    """Call `function` in a thread that is abandoned if the call hangs, and return the result.

    Args:
        doing: Description of the call, as the start of a sentence.
        function: Called with the module `sounddevice`.
        timeout_s: Time limit.

    Raises:
        SourceError: PortAudio refused, or did not answer in time.
    """
    answer: Future[T] = Future()

    def call() -> None:
        try:
            answer.set_result(function(load_portaudio()))
        except Exception as error:  # noqa: BLE001 -- raised again below, in the calling thread
            answer.set_exception(error)

    try:
        with capture_native_stderr() as reasons:
            threading.Thread(target=call, name="portaudio", daemon=True).start()
            return answer.result(timeout_s)
    except TimeoutError as error:
        _skip_exit_handler()
        raise SourceError(
            f"{doing} took more than {timeout_s:g} s: the sound system does not answer. {RESTART_ADVICE}"
        ) from error
    except UnicodeDecodeError as error:
        name = bytes(error.object).decode(errors="replace")
        raise SourceError(
            f"{doing} failed: the device's name is not UTF-8 ({name!r}). Rename the device in the sound system."
        ) from error
    except Exception as error:
        if type(error).__name__ != "PortAudioError":
            raise
        raise SourceError(f"{doing} failed: {_message(error, reasons)}.") from error


def rescan_devices() -> None:
    """Restart PortAudio, which lists only the devices that were present at its start.

    Every open stream of this process ends.

    Raises:
        SourceError: The sound system does not answer.
    """
    call_portaudio("Looking for devices", _restart)


def _restart(sounddevice: ModuleType) -> None:
    sounddevice._terminate()
    sounddevice._initialize()


def _message(error: Exception, reasons: list[str]) -> str:
    """Join PortAudio's message and ALSA's last line, which often gives the cause."""
    message = str(error.args[0]) if error.args else str(error)
    return f"{message} ({reasons[-1].strip()})" if reasons else message


def _skip_exit_handler() -> None:
    """Keep the interpreter's exit from waiting for a PortAudio that hangs."""
    module = sys.modules.get("sounddevice")
    if module is not None and hasattr(module, "_exit_handler"):
        atexit.unregister(module._exit_handler)
