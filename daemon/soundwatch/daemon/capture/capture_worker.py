"""One microphone, captured by a process of its own: `python -m soundwatch.daemon.capture.child DEVICE CHANNELS WAIT`.

PortAudio can only look for new devices by ending every stream of its process, and hangs with a sound server that
hangs. So each microphone has a process: it waits for the device, opens it, hands its blocks to standard output as
`capture/ipc.py` has them, and ends when the device is lost.

Conventions: CHANNELS 0 is as many as the device has; WAIT 0 gives up at once where the device is not there, 1 tries
again until it is. The end of standard input ends the process, also where the daemon was killed. SIGINT and SIGTERM
are the daemon's to answer: a terminal and systemd send them to both.
Does not: import the network's runtime, or try again once the device is lost (`capture/reconnect.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from functools import partial
from typing import Final, NoReturn

from soundwatch.daemon.capture.device_names import watch_source
from soundwatch.daemon.capture.ipc import ErrorFrame, OpenedFrame, encode_block, encode_message
from soundwatch.daemon.capture.microphone import Microphone
from soundwatch.daemon.capture.portaudio import rescan_devices
from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 1.0  # a device that returns is to be heard within two seconds
TRIES: Final = 100  # then a fresh process goes on, since sound systems leak a little at each try

_one_at_a_time = threading.Lock()


def main(device: str, channels: str, wait: str) -> NoReturn:
    """Capture until there is nothing more to capture, or nobody to hand it to."""
    out = os.dup(1)
    sys.stderr = os.fdopen(os.dup(2), "w")  # for bugs of ours
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for printed in (1, 2):  # PortAudio prints its call stack when a device is lost
        os.dup2(nowhere, printed)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_the_daemon, daemon=True).start()
    with contextlib.suppress(OSError):  # the daemon has gone
        _send(out, encode_message(_captured(out, device, int(channels) or None, wait == "1")))
    _leave()


def _captured(out: int, device: str, channels: int | None, wait: bool) -> ErrorFrame:
    """Hand over what is heard, and return why no more is."""
    opened = _opened(out, device, channels, wait)
    if isinstance(opened, ErrorFrame):
        return opened
    info = opened.info
    _send(out, encode_message(OpenedFrame(info.description, info.rate_hz, info.channels)))
    threading.Thread(target=watch_source, args=(device, partial(_end_of, out, device)), daemon=True).start()
    try:
        for block in opened.blocks():
            _send(out, encode_block(block, opened.start_unix_ns))
    except StallError as error:
        return ErrorFrame("stalled", str(error), over=True)
    except SourceError as error:
        return ErrorFrame("ended", str(error), over=True)
    return ErrorFrame("ended", f"{info.description} ended.", over=True)


def _opened(out: int, device: str, channels: int | None, wait: bool) -> Microphone | ErrorFrame:
    """The microphone, however long that takes, or why it is not waited for any longer."""
    said, backoff = "", Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
    for _ in range(TRIES):
        try:
            return Microphone("", device, channels)
        except SourceUnavailableError as error:
            return ErrorFrame("hopeless", str(error), over=True)
        except SourceError as error:
            if not wait:
                return ErrorFrame("absent", str(error), over=True)
            if str(error) != said:
                said = str(error)
                _send(out, encode_message(ErrorFrame("absent", said, over=False)))
        time.sleep(backoff.next_s())
        try:
            rescan_devices()
        except SourceError as error:  # what hangs in this process would hang there for ever
            return ErrorFrame("stalled", str(error), over=True)
    return ErrorFrame("absent", said, over=True)


def _end_of(out: int, device: str) -> None:
    """The sound server has no such source any more, and gives another's sound in its place."""
    with contextlib.suppress(OSError):
        _send(
            out, encode_message(ErrorFrame("ended", f"{device} is gone: it was unplugged or switched off.", over=True))
        )
    _leave()


def _leave() -> NoReturn:
    """End without waiting for a PortAudio that hangs, and with what was started here, which is in the same group."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def _send(out: int, frame: bytes) -> None:
    with _one_at_a_time:
        while frame:
            frame = frame[os.write(out, frame) :]


def _end_with_the_daemon() -> None:
    while os.read(0, 1):
        pass
    _leave()


if __name__ == "__main__":
    main(*sys.argv[1:])
