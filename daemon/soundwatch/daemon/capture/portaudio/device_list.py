"""PortAudio's input devices, listed in another process.

Conventions: the process writes the devices to standard output as JSON, or the reason of a failure to standard error.
Source: tests with ALSA: without its configuration, PortAudio ends its process by SIGABRT, without a message.
Does not: find devices (`capture/portaudio/devices.py`).
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Final, NoReturn

import msgspec

from soundwatch.daemon.capture.portaudio.devices import Device, devices_json, list_devices
from soundwatch.daemon.capture.portaudio.library import ASKED_S
from soundwatch.daemon.core.errors import SourceError

LIMIT_S: Final = 30.0  # the process itself gives up after five seconds, but may start slowly
KILLED: Final = -9  # Windows has no name for the signal
PROGRAM: Final = f"from {__name__} import write_devices; write_devices()"


def list_devices_apart(environment: Mapping[str, str] | None = None) -> tuple[Device, ...]:
    """List all input devices in another process, whose PortAudio may crash or hang.

    Args:
        environment: Variables of the process besides those of this one.

    Raises:
        SourceError: PortAudio is missing, does not answer, or crashes.
    """
    try:
        done = subprocess.run(  # noqa: S603 -- our own module
            [sys.executable, "-P", "-c", PROGRAM],  # -P: no module of the current folder
            env={**os.environ, **(environment or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=LIMIT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"Listing the input devices took more than {LIMIT_S:g} s.") from error
    except OSError as error:
        raise SourceError(f"No process can be started to list the input devices: {error.strerror}.") from error
    if done.returncode == SourceError.exit_code:
        raise SourceError(done.stderr.decode(errors="replace").strip())
    if done.returncode:
        raise SourceError(f"Listing the input devices failed: the process {crash_text(done.returncode)}")
    return msgspec.json.decode(done.stdout, type=tuple[Device, ...])


def crash_text(code: int) -> str:
    """Return the way a process of PortAudio ended, and what to do, as a predicate and a sentence.

    Args:
        code: Exit code of the process, or the negative number of the signal that ended it.
    """
    if code == KILLED:
        return "was ended by SIGKILL, by another program, or for want of memory. Look into the system's log."
    ending = f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return (
        f"{ending} in PortAudio or the sound system. Check the configuration of ALSA (/usr/share/alsa, "
        "/etc/asound.conf, ~/.asoundrc, ALSA_CONFIG_PATH)."
    )


def write_devices() -> NoReturn:
    """Write the devices, and exit without waiting for a PortAudio that hangs."""
    try:
        os.write(1, devices_json(list_devices(ASKED_S)))
    except SourceError as error:
        os.write(2, str(error).encode(errors="replace"))
        os._exit(SourceError.exit_code)
    os._exit(0)
