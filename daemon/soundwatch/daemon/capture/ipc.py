"""Frames that a capture process writes to its pipe: the opened device, blocks, and errors.

Conventions: a frame is one byte for its kind, its length, and its bytes; numbers are little-endian. Samples
are float32, (C, S) in C order. All other frames are JSON.
Does not: read or write (`capture/capture_worker.py`, `capture/capture_process.py`).
"""

from __future__ import annotations

import contextlib
import select
import struct
import sys
from typing import IO, Final, Literal

import msgspec
import numpy as np

from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.source import SourceInfo, SourceTransitionReason
from soundwatch.daemon.core.types import Block, read_only

if sys.platform == "linux":
    import fcntl

PIPE_BYTES: Final = 1 << 18  # more than a frame: 300 ms of 48 kHz stereo have 115 kB
DEFAULT_PIPE_BYTES: Final = 1 << 16
GATHERING_PIPE_BYTES: Final = 1 << 20  # the most without a privilege: 2.7 s of 48 kHz stereo as float32
LONGEST_GATHER_S: Final = 1.2  # longer than the hop of a window
HEAD: Final = struct.Struct("<BI")  # kind, length of the body
_BLOCK: Final = struct.Struct("<qqqqII")  # UTC of sample 0, first sample, lost samples, arrival, rate, channels


class OpenedFrame(msgspec.Struct, frozen=True, tag="opened"):
    """The device was opened; blocks follow."""

    description: str
    rate_hz: int
    channels: int

    def info(self, name: str) -> SourceInfo:
        """Return the record that the daemon uses."""
        return SourceInfo(name, self.description, self.rate_hz, self.channels)


class ErrorFrame(msgspec.Struct, frozen=True, tag="trouble"):
    """The device gives no sound.

    Attributes:
        kind: stalled, ended, absent, or unavailable (a retry cannot help).
        message: Message of the error.
        final: True if the process ends, False if it retries.
    """

    kind: Literal["stalled", "ended", "absent", "unavailable"]
    message: str
    final: bool

    @property
    def reason(self) -> SourceTransitionReason:
        """Reason as in events."""
        return "absent" if self.kind == "unavailable" else self.kind

    def error(self) -> SourceError:
        """Return the error to raise."""
        kinds = {"unavailable": SourceUnavailableError, "stalled": StallError}
        return kinds.get(self.kind, SourceError)(self.message)


def encode_message(message: OpenedFrame | ErrorFrame) -> bytes:
    """Encode a frame of JSON."""
    body = msgspec.json.encode(message)
    return HEAD.pack(0, len(body)) + body


def encode_block(block: Block, start_unix_ns: int) -> bytes:
    """Encode a frame of samples."""
    numbers = (block.first_sample, block.lost_samples, block.arrival_ns or 0, block.rate_hz, block.samples.shape[0])
    head = _BLOCK.pack(start_unix_ns, *numbers)
    frame_head = HEAD.pack(1, len(head) + block.samples.nbytes)
    return b"".join((frame_head, head, np.ascontiguousarray(block.samples).data.cast("B")))


def decode_frame(kind: int, body: bytes) -> OpenedFrame | ErrorFrame | tuple[Block, int]:
    """Decode a frame; a block comes with UTC of its stream's sample 0."""
    if not kind:
        return msgspec.json.decode(body, type=OpenedFrame | ErrorFrame)
    start_unix_ns, first_sample, lost_samples, arrival_ns, rate_hz, channels = _BLOCK.unpack_from(body)
    samples = np.frombuffer(body, "<f4", offset=_BLOCK.size).reshape(channels, -1)
    return Block(read_only(samples), rate_hz, first_sample, lost_samples, arrival_ns or None), start_unix_ns


def wait_readable(fd: int, wait_ms: int, message_fd: int | None = None) -> bool:
    """Wait up to `wait_ms` for data or a message, and return True if a read would not block."""
    if not hasattr(select, "poll"):  # Windows: a frozen writer goes unnoticed
        return True
    poll = select.poll()
    for readable in (fd, message_fd):
        if readable is not None:
            poll.register(readable, select.POLLIN)
    return bool(poll.poll(wait_ms))


def wait_closed(fd: int, wait_ms: int, message_fd: int | None) -> None:
    """Wait for `wait_ms`, but not longer than until a pipe's writer has closed it, or a message can be read."""
    poll = select.poll()
    poll.register(fd, 0)  # no event but the end of the writer
    if message_fd is not None:
        poll.register(message_fd, select.POLLIN)
    poll.poll(wait_ms)


def enlarge_pipe(pipe: IO[bytes], size_bytes: int = PIPE_BYTES) -> int:
    """Give a pipe room for more than a frame, so that its writer seldom waits, and return its size in bytes.

    Without permission the pipe stays as it is.
    """
    if sys.platform != "linux":
        return DEFAULT_PIPE_BYTES
    with contextlib.suppress(OSError):
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size_bytes)
    return DEFAULT_PIPE_BYTES


def gatherable_s(pipe: IO[bytes], bytes_a_second: int) -> float:
    """Enlarge a pipe, and return the length of sound that may wait in it for a read: half of what it holds."""
    return min(LONGEST_GATHER_S, enlarge_pipe(pipe, GATHERING_PIPE_BYTES) / bytes_a_second / 2)
