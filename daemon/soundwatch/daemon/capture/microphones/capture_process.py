"""A microphone in its own capture process: the daemon's end of the pipe.

Conventions: the process is started when the source is opened and ends with it; a process without output for
`SILENT_S` is killed. Closing its standard input ends the process, which is safe in a signal handler.
Does not: reopen a device (`capture/monitoring/reconnect.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.capture.descriptors.pipes import enlarge_pipe, wait_readable
from soundwatch.daemon.capture.microphones.ipc import HEAD, ErrorFrame, OpenedFrame, decode_frame
from soundwatch.daemon.capture.portaudio.device_list import crash_text
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo, SourceStateChange

PROGRAM: Final = "soundwatch.daemon.capture.microphones.capture_worker"
SILENT_S: Final = 2.75  # during capture; the process itself reports a stall half a second earlier
POLL_MS: Final = 350  # longer than a frame


class MicrophoneProcess:
    """An input device, opened in another process.

    Args:
        name: The source's name in events.
        device: As for `Microphone`.
        channels: Number of channels to open; None for the device's own, two at most.
        wait: Wait for an absent device instead of failing.

    Raises:
        SourceError: The process cannot be started; without `wait`, the device cannot be opened either.
    """

    def __init__(self, name: str, device: str | int, channels: int | None, *, wait: bool) -> None:
        self.info = SourceInfo(name, str(device), 0, 0)
        self.start_unix_ns = 0
        self._stopped = False
        command = [
            sys.executable,
            "-P",
            "-m",
            PROGRAM,
            str(device),
            str(channels or 0),
        ]  # -P: no module of the current folder
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [*command, "1" if wait else "0"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # its children end with it
            )
        except OSError as error:
            raise SourceError(f"No process can be started to capture {device}: {error.strerror}.") from error
        assert self._process.stdout is not None
        enlarge_pipe(self._process.stdout)
        if not wait:
            self._open()

    def blocks(self) -> Iterator[Block | SourceStateChange]:
        """Yield blocks as they are captured, until `stop`, and a `SourceStateChange` while the device is absent.

        Raises:
            StallError: The device or the process delivers nothing.
            SourceError: The device is lost, or the process has ended.
        """
        try:
            while not self._stopped and (frame := self._next()) is not None:
                if isinstance(frame, OpenedFrame):
                    self.info = frame.info(self.info.name)
                elif isinstance(frame, ErrorFrame):
                    if frame.final:
                        raise frame.error()
                    yield SourceStateChange("waiting", frame.reason, frame.message)
                else:
                    block, self.start_unix_ns = frame
                    yield block
        finally:
            self._end()

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        assert self._process.stdin is not None
        self._process.stdin.close()

    def _open(self) -> None:
        try:
            frame = self._next()
            if isinstance(frame, ErrorFrame):
                raise frame.error()
            if isinstance(frame, OpenedFrame):
                self.info = frame.info(self.info.name)
        except SourceError:
            self._end()
            raise

    def _next(self) -> OpenedFrame | ErrorFrame | tuple[Block, int] | None:
        """Read the next frame; None after `stop`.

        Raises:
            StallError: The process hangs.
            SourceError: The process has ended without an error frame.
        """
        head = self._read(HEAD.size)
        kind, length = HEAD.unpack(head) if head else (0, 0)
        body = self._read(length)
        return decode_frame(kind, body) if body else None

    def _read(self, size: int) -> bytes:
        """Read `size` bytes; none after `stop`."""
        assert self._process.stdout is not None
        pipe, empty_polls = self._process.stdout.fileno(), 0
        parts, missing = list[bytes](), size
        while missing and not self._stopped:
            if not wait_readable(pipe, POLL_MS):
                empty_polls += 1  # polls, not time, which also passes while this program is suspended
                if self.info.rate_hz and empty_polls * POLL_MS >= SILENT_S * 1000:
                    raise StallError(f"The process that captures {self.info.description} hangs; it is restarted.")
                continue
            data = os.read(pipe, missing)
            if not data and not self._stopped:
                raise SourceError(f"The process that captured {self.info.description} {self._ending()}")
            parts.append(data)
            missing -= len(data)
        return b"" if self._stopped else b"".join(parts)

    def _ending(self) -> str:
        """Return how the process ended, which has closed its output, so that no signal changes its code any more."""
        self._end()
        return crash_text(self._process.returncode)

    def _end(self) -> None:
        if hasattr(os, "killpg") and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # the process may be stopped, or hang in the sound system
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
