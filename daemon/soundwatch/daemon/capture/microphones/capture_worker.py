"""The capture process of one microphone.

Usage: `python -m soundwatch.daemon.capture.microphones.capture_worker DEVICE CHANNELS WAIT`.

PortAudio can find new devices only by ending every stream of its process, and hangs with a sound server that
hangs. So each microphone has a process: the process waits for the device, opens it, writes its blocks to standard
output as frames of `capture/microphones/ipc.py`, and ends when the device is lost.

Conventions: CHANNELS 0 is the device's own number; WAIT 0 fails at once if the device is absent, 1 retries until it is
present. The end of standard input ends the process, also if the daemon was killed. The process ignores SIGINT and
SIGTERM, which a terminal and systemd send to it as well as to the daemon.
Rule: PortAudio's calls have ten seconds, five with WAIT 0. A sound server that hangs is found meanwhile, over its own
protocol.
Does not: import the inference runtime, or retry after the device is lost (`capture/monitoring/reconnect.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from typing import Final, NoReturn

from soundwatch.daemon.capture.microphones.coalesce import coalesced
from soundwatch.daemon.capture.microphones.ipc import ErrorFrame, OpenedFrame, encode_block, encode_message
from soundwatch.daemon.capture.portaudio.devices import NoDeviceError
from soundwatch.daemon.capture.portaudio.library import ASKED_S, RESTART_ADVICE, rescan_devices
from soundwatch.daemon.capture.portaudio.microphone import Microphone
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.network.backoff import Backoff

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 1.0  # a device that returns is captured within two seconds
FRAME_MS: Final = 300  # of a frame: each costs a wake-up in both processes
USUAL_S: Final = 0.5  # in which a device is opened; after that, the sound server is asked
TRIES: Final = 100  # then a new process continues, since sound systems leak memory at each attempt

_sending: Final = threading.Lock()


def main(device: str, channels: str, wait: str) -> NoReturn:
    """Capture until the device is lost or the daemon has ended."""
    out = os.dup(1)
    sys.stderr = os.fdopen(os.dup(2), "w")  # for tracebacks
    null = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):  # PortAudio prints its call stack when a device is lost
        os.dup2(null, descriptor)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_exit_with_daemon, daemon=True).start()
    with contextlib.suppress(OSError):  # the daemon has ended
        _send(out, encode_message(_capture(out, device, int(channels) or None, wait == "1")))
    _exit()


def _capture(out: int, device: str, channels: int | None, wait: bool) -> ErrorFrame:
    """Send blocks, and return the reason for the end."""
    opening_ended = threading.Event()
    threading.Thread(target=_report_hung_opening, args=(out, device, wait, opening_ended), daemon=True).start()
    opened = _open(out, device, channels, wait)
    with _sending:
        opening_ended.set()
    if isinstance(opened, ErrorFrame):
        return opened
    info = opened.info
    _send(out, encode_message(OpenedFrame(info.description, info.rate_hz, info.channels)))
    try:
        for block in coalesced(opened.blocks(), FRAME_MS):
            _send(out, encode_block(block, opened.start_unix_ns))
    except StallError as error:
        return ErrorFrame("stalled", str(error), final=True)
    except SourceError as error:
        return ErrorFrame("ended", str(error), final=True)
    return ErrorFrame("ended", f"{info.description} ended.", final=True)


def _open(out: int, device: str, channels: int | None, wait: bool) -> Microphone | ErrorFrame:
    """Open the microphone, with retries if `wait`, or return the reason for giving up."""
    message, backoff = "", Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    for _ in range(TRIES):
        try:
            return Microphone("", device, channels)
        except SourceUnavailableError as error:
            return ErrorFrame("unavailable", str(error), final=True)
        except SourceError as error:
            if not wait:
                return ErrorFrame("absent", f"{error}{_other_choices(error)}", final=True)
            if str(error) != message:
                message = str(error)
                _send(out, encode_message(ErrorFrame("absent", message, final=False)))
        time.sleep(backoff.next_s())
        try:
            rescan_devices()
        except SourceError as error:  # a call that hangs in this process hangs until its end
            return ErrorFrame("stalled", str(error), final=True)
    return ErrorFrame("absent", message, final=True)


def _report_hung_opening(out: int, device: str, wait: bool, opening_ended: threading.Event) -> None:
    """Report a sound system that hangs while the device is opened; without `wait`, end the process."""
    if opening_ended.wait(USUAL_S):
        return
    from soundwatch.daemon.capture.sound_server.devices import list_server_devices  # few capture processes need it

    reason, started_s = "", time.monotonic()
    try:
        list_server_devices()
    except StallError as error:
        reason = str(error)
    except SourceError:  # PortAudio's answer counts
        pass
    if not reason and not wait:
        opening_ended.wait(max(0.0, ASKED_S - USUAL_S - (time.monotonic() - started_s)))
        reason = f"The sound system does not answer within {ASKED_S:g} s. {RESTART_ADVICE}"
    with _sending, contextlib.suppress(OSError):  # the daemon has ended
        if reason and not opening_ended.is_set():
            _write(out, encode_message(ErrorFrame("absent", f"{device} cannot be opened. {reason}", final=not wait)))
            if not wait:
                _exit()


def _other_choices(error: SourceError) -> str:
    """Return lines with the sound server's sources if PortAudio has no device of the name."""
    if not isinstance(error, NoDeviceError):
        return ""
    from soundwatch.daemon.capture.sound_server.devices import server_choices  # few capture processes need it

    return server_choices()


def _exit() -> NoReturn:
    """Exit without waiting for a PortAudio that hangs, and end the children, which are in the same process group."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _send(out: int, frame: bytes) -> None:
    with _sending:
        _write(out, frame)


def _write(out: int, frame: bytes) -> None:
    while frame:
        frame = frame[os.write(out, frame) :]


def _exit_with_daemon() -> None:
    while os.read(0, 1):
        pass
    _exit()


if __name__ == "__main__":
    main(*sys.argv[1:])
