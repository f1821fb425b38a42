"""Frames that a capture process writes to its pipe: the opened device, blocks, and errors.

Conventions: a frame is one byte for its kind, its length, and its bytes; numbers are little-endian. Samples
are float32, (C, S) in C order. All other frames are JSON.
Does not: read or write (`capture/microphones/capture_worker.py`, `capture/microphones/capture_process.py`).
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import msgspec
import numpy as np

from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.source import SourceInfo, SourceTransitionReason

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
