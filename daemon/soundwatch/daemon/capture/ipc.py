"""What a capture process tells the daemon over a pipe: what it has opened, sound, and why there is none.

Conventions: each frame is one byte for its kind, its length, and so many bytes; numbers are little-endian. Samples
are float32 as they were captured, (C, S) in C order. All else is JSON.
Does not: read or write (`capture/capture_worker.py`, `capture/capture_process.py`).
"""

from __future__ import annotations

import struct
from typing import Final, Literal

import msgspec
import numpy as np

from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.source import SourceInfo, SourceTransitionReason
from soundwatch.daemon.core.types import Block, read_only

HEAD: Final = struct.Struct("<BI")  # kind, length of what follows
_BLOCK: Final = struct.Struct("<qqqqII")  # UTC of sample 0, first sample, lost samples, arrival, rate, channels


class OpenedFrame(msgspec.Struct, frozen=True, tag="opened"):
    """The microphone has been opened; blocks follow."""

    description: str
    rate_hz: int
    channels: int

    def info(self, name: str) -> SourceInfo:
        """As the daemon has it."""
        return SourceInfo(name, self.description, self.rate_hz, self.channels)


class ErrorFrame(msgspec.Struct, frozen=True, tag="trouble"):
    """There is no sound. With `over` this is the process's last word, else it goes on trying.

    Attributes:
        kind: stalled, ended, absent, or hopeless.
        said: The error's message.
        over: Whether the process ends.
    """

    kind: Literal["stalled", "ended", "absent", "hopeless"]
    said: str
    over: bool

    @property
    def reason(self) -> SourceTransitionReason:
        """As events have it."""
        return "absent" if self.kind == "hopeless" else self.kind

    def error(self) -> SourceError:
        """The same as an error."""
        kinds = {"hopeless": SourceUnavailableError, "stalled": StallError}
        return kinds.get(self.kind, SourceError)(self.said)


def encode_message(what: OpenedFrame | ErrorFrame) -> bytes:
    """A frame of what is not sound."""
    body = msgspec.json.encode(what)
    return HEAD.pack(0, len(body)) + body


def encode_block(block: Block, start_unix_ns: int) -> bytes:
    """A frame of sound."""
    numbers = (block.first_sample, block.lost_samples, block.arrival_ns or 0, block.rate_hz, block.samples.shape[0])
    head = _BLOCK.pack(start_unix_ns, *numbers)
    return HEAD.pack(1, len(head) + block.samples.nbytes) + head + block.samples.tobytes()


def decode_frame(kind: int, body: bytes) -> OpenedFrame | ErrorFrame | tuple[Block, int]:
    """What is in a frame; a block comes with UTC of its stream's sample 0."""
    if not kind:
        return msgspec.json.decode(body, type=OpenedFrame | ErrorFrame)
    start_unix_ns, first_sample, lost_samples, arrival_ns, rate_hz, channels = _BLOCK.unpack_from(body)
    samples = np.frombuffer(body, "<f4", offset=_BLOCK.size).reshape(channels, -1)
    return Block(read_only(samples), rate_hz, first_sample, lost_samples, arrival_ns or None), start_unix_ns
