"""A microphone that is captured by a process of its own, as the daemon has it.

Conventions: the process is started when the source is opened and ends with it; one that says nothing for
`SILENT_S` is killed. It is told to end by closing its standard input, which is safe in a signal handler.
Does not: open anything again (`capture/reconnect.py`).
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.capture.ipc import HEAD, ErrorFrame, OpenedFrame, decode_frame
from soundwatch.daemon.capture.poll import wait_readable
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.source import SourceInfo, SourceStateChange
from soundwatch.daemon.core.types import Block

SILENT_S: Final = 2.75  # once it captures; the process itself gives up half a second earlier
LOOK_UP_MS: Final = 250
READ_BYTES: Final = 1 << 16


class MicrophoneProcess:
    """An input device, opened in another process.

    Args:
        name: The source's name in events.
        device: As for `Microphone`.
        channels: How many to open; None for the device's own, two at most.
        wait: Whether to wait for a device that is not there, rather than to fail.

    Raises:
        SourceError: The process cannot be started; without `wait`, the device cannot be opened either.
    """

    def __init__(self, name: str, device: str | int, channels: int | None, wait: bool) -> None:
        self.info = SourceInfo(name, str(device), 0, 0)
        self.start_unix_ns = 0
        self._stopped = False
        self._unread = bytearray()
        command = [sys.executable, "-m", "soundwatch.daemon.capture.capture_worker", str(device), str(channels or 0)]
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [*command, "1" if wait else "0"],
                bufsize=0,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # what it starts ends with it
            )
        except OSError as error:
            raise SourceError(f"No process can be started to capture {device}: {error.strerror}.") from error
        if not wait:
            self._open()

    def blocks(self) -> Iterator[Block | SourceStateChange]:
        """Blocks as they are heard, until `stop`; a `SourceStateChange` where the device is waited for.

        Raises:
            StallError: The device or the process delivers nothing.
            SourceError: The device is lost, or the process has ended.
        """
        try:
            while not self._stopped and (frame := self._next()) is not None:
                if isinstance(frame, OpenedFrame):
                    self.info = frame.info(self.info.name)
                elif isinstance(frame, ErrorFrame):
                    if frame.over:
                        raise frame.error()
                    yield SourceStateChange("waiting", frame.reason, frame.said)
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
        """The next frame; None after `stop`.

        Raises:
            StallError: The process has hung.
            SourceError: It has ended without a word.
        """
        head = self._read(HEAD.size)
        kind, length = HEAD.unpack(head) if head else (0, 0)
        body = self._read(length)
        return decode_frame(kind, body) if body else None

    def _read(self, size: int) -> bytes:
        """So many bytes; none after `stop`."""
        assert self._process.stdout is not None
        pipe, empty_looks = self._process.stdout.fileno(), 0
        while len(self._unread) < size and not self._stopped:
            if not wait_readable(pipe, LOOK_UP_MS):
                empty_looks += 1  # not time, which also passes while this program is frozen
                if self.info.rate_hz and empty_looks * LOOK_UP_MS >= SILENT_S * 1000:
                    raise StallError(f"The process that captures {self.info.description} hangs; it is started anew.")
                continue
            data = os.read(pipe, READ_BYTES)
            if not data and not self._stopped:
                raise SourceError(f"The process that captured {self.info.description} has ended; it is started anew.")
            self._unread += data
        if self._stopped:
            return b""
        wanted = bytes(self._unread[:size])
        del self._unread[:size]
        return wanted

    def _end(self) -> None:
        if hasattr(os, "killpg") and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)  # it may be frozen, or hang with the sound system
        self._process.kill()
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            pipe.close()
