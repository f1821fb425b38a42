"""Messages of the sound servers' native protocol: encoding, decoding, and the split of a stream into frames.

Conventions: big-endian. A frame is a head of 20 bytes (length, channel, two words of an offset, flags) and a body. The
channel `CONTROL` carries messages, each other one the sound of a stream. A message is a list of fields, each a letter
for its type and a value: the command, a number that the reply repeats, and arguments.
Source: the file PROTOCOL of PulseAudio, which lists the fields of each version, and tests with PulseAudio 16 and
PipeWire 0.3. Version 13 is the oldest one with all fields that are needed; later ones only make messages longer.
Rule: lengths are checked before memory is taken, and a message against the protocol is a `ServerError`.
Does not: connect, or interpret messages (`capture/sound_server/connection.py`).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from soundwatch.daemon.capture.samples.limits import HIGHEST_RATE_HZ, LOWEST_RATE_HZ
from soundwatch.daemon.core.errors import SourceError

VERSION: Final = 13
CONTROL: Final = 0xFFFFFFFF  # channel of messages
NO_INDEX: Final = 0xFFFFFFFF
MAX_FRAME_BYTES: Final = 1 << 24  # the servers' own limit
MAX_MESSAGE_BYTES: Final = 1 << 19  # a source has 2 to 3 kB; each field takes a microsecond
S16LE: Final = 3  # sample formats: this one and all with smaller numbers, and the next, have 16 bits at most
S16BE: Final = 4
FLOAT32LE: Final = 5
SOURCE_FIELDS: Final = 15  # of each source in a reply
OUTPUT_FIELD: Final = 8  # of them the output that a monitor records, or `NO_INDEX`

_SHARED_MEMORY: Final = 0xC0000000  # flags of a body in shared memory
_HEAD: Final = struct.Struct(">IIIII")
_LENGTH: Final = struct.Struct(">I")
_SPECIFICATION: Final = struct.Struct(">BBI")
_NUMBERS: Final = {
    letter: struct.Struct(form)
    for letter, form in zip("BLRrUVT", (">B", ">I", ">Q", ">q", ">Q", ">I", ">Q"), strict=True)
}


class ServerError(SourceError):
    """A failure of the sound server; its text continues a sentence about the server."""


class ServerHangsError(ServerError):
    """A server that accepts a connection or a request, and does not answer in time."""


class Command(IntEnum):
    """Commands that are sent or interpreted."""

    ERROR = 0
    REPLY = 2
    CREATE_RECORD_STREAM = 5
    AUTHENTICATE = 8
    SET_CLIENT_NAME = 9
    GET_SOURCE = 23
    GET_SOURCES = 24
    SUBSCRIBE = 35
    STREAM_KILLED = 65
    EVENT = 66
    STREAM_SUSPENDED = 77
    STREAM_MOVED = 79


@dataclass(frozen=True, slots=True)
class SampleSpecification:
    """Form of samples.

    Attributes:
        sample_format: Number of the format, such as `FLOAT32LE`.
        channels: Number of channels.
        rate_hz: Sampling rate.
    """

    sample_format: int
    channels: int
    rate_hz: int


@dataclass(frozen=True, slots=True)
class ServerSource:
    """A source of the sound server.

    Attributes:
        index: Number on the server.
        name: Name on the server.
        description: Name for people; empty without one.
        rate_hz: Sampling rate.
        positions: Position of each channel, as a number of the protocol.
        monitor: True for the sound that an output plays.
        sample_format: Number of its own sample format.
    """

    index: int
    name: str
    description: str
    rate_hz: int
    positions: tuple[int, ...]
    monitor: bool
    sample_format: int = FLOAT32LE

    @property
    def has_16_bits(self) -> bool:
        """True if its samples have 16 bits at most."""
        return self.sample_format <= S16BE


# Tuples are the positions of channels, or volumes.
Field = int | str | bool | bytes | None | tuple[int, ...] | SampleSpecification | dict[str, bytes]


def malformed(seen: str) -> ServerError:
    """Return the error for something that the protocol does not allow."""
    return ServerError(f"sent {seen}, which its protocol does not allow")


def encode_message(command: Command, number: int, *arguments: Field) -> bytes:
    """Encode a frame with a message; `number` is repeated by the reply."""
    body = b"".join(map(_encode, (int(command), number, *arguments)))
    return _HEAD.pack(len(body), CONTROL, 0, 0, 0) + body


def _encode(value: Field) -> bytes:
    """Encode a field; whole numbers get 32 bits, and tuples are channel positions."""
    match value:
        case None:
            return b"N"
        case bool():
            return b"1" if value else b"0"
        case int():
            return b"L" + _LENGTH.pack(value)
        case str():
            return b"t" + value.encode(errors="replace").replace(b"\0", b"?") + b"\0"
        case bytes():
            return b"x" + _LENGTH.pack(len(value)) + value
        case tuple():
            return b"m" + bytes((len(value), *value))
        case SampleSpecification():
            return b"a" + _SPECIFICATION.pack(value.sample_format, value.channels, value.rate_hz)
    entries = (_encode(key) + _encode(len(text)) + _encode(text) for key, text in value.items())
    return b"P" + b"".join(entries) + b"N"


def decode_message(body: bytes) -> tuple[int, int, list[Field]]:
    """Decode a message to its command, its number, and its arguments.

    Raises:
        ServerError: The message does not follow the protocol.
    """
    fields: list[Field] = []
    at = 0
    try:
        while at < len(body):
            value, at = _decode(body, at)
            fields.append(value)
    except (struct.error, ValueError, IndexError) as error:
        raise malformed(f"a message with a faulty field ({error})") from error
    match fields:
        case [int(command), int(number), *arguments]:
            return command, number, arguments
    raise malformed("a message without a command")


def _decode(body: bytes, at: int, *, in_properties: bool = False) -> tuple[Field, int]:
    """Decode the field at an offset, and return the offset of the next one.

    Properties contain no properties.

    Raises:
        ValueError, IndexError, struct.error: The field is faulty.
    """
    letter, at = chr(body[at]), at + 1
    if letter in _NUMBERS:
        number: int = _NUMBERS[letter].unpack_from(body, at)[0]
        return number, at + _NUMBERS[letter].size
    match letter:
        case "N":
            return None, at
        case "0" | "1":
            return letter == "1", at
        case "t":
            end = body.index(0, at)
            return body[at:end].decode(errors="replace"), end + 1
        case "x":
            start = at + _LENGTH.size
            end = start + _LENGTH.unpack_from(body, at)[0]
            if end > len(body):
                raise ValueError("bytes beyond the end")
            return body[start:end], end
        case "a":
            return SampleSpecification(*_SPECIFICATION.unpack_from(body, at)), at + _SPECIFICATION.size
        case "m":
            form = struct.Struct(f">{body[at]}B")
            return form.unpack_from(body, at + 1), at + 1 + form.size
        case "v":
            form = struct.Struct(f">{body[at]}I")
            return form.unpack_from(body, at + 1), at + 1 + form.size
        case "P" if not in_properties:
            return _decode_properties(body, at)
    raise ValueError(f"type {letter!r}")


def _decode_properties(body: bytes, at: int) -> tuple[dict[str, bytes], int]:
    """Decode properties, which end with a field without a value."""
    properties: dict[str, bytes] = {}
    while True:
        key, at = _decode(body, at, in_properties=True)
        if key is None:
            return properties, at
        length, at = _decode(body, at, in_properties=True)
        value, at = _decode(body, at, in_properties=True)
        if not isinstance(key, str) or not isinstance(value, bytes) or length != len(value):
            raise ValueError("properties")
        properties[key] = value


def decode_sources(fields: list[Field]) -> list[ServerSource]:
    """Return the sources that the arguments of a reply describe.

    Raises:
        ServerError: The reply does not follow the protocol.
    """
    found = []
    if len(fields) % SOURCE_FIELDS:
        raise malformed("a source with fields missing")
    for at in range(0, len(fields), SOURCE_FIELDS):
        match fields[at : at + SOURCE_FIELDS]:
            case [int(index), str(name), str() | None as text, SampleSpecification() as form, tuple(positions), *_] if (
                LOWEST_RATE_HZ <= form.rate_hz <= HIGHEST_RATE_HZ and 1 <= form.channels == len(positions)
            ):
                monitor = fields[at + OUTPUT_FIELD] != NO_INDEX
                found.append(
                    ServerSource(index, name, text or "", form.rate_hz, positions, monitor, form.sample_format)
                )
            case _:
                raise malformed("a source with faulty fields")
    return found


class FrameBuffer:
    """Received bytes that are no whole frame yet: less than one frame and one read."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def add(self, received: bytes) -> list[tuple[int, bytes]]:
        """Return the channel and the body of each frame that is whole now.

        Raises:
            ServerError: A frame is too long, or its body is in shared memory, which was not negotiated.
        """
        self._bytes += received
        frames = []
        at = 0
        with memoryview(self._bytes) as view:
            while len(view) - at >= _HEAD.size:
                length, channel, _, _, flags = _HEAD.unpack_from(view, at)
                longest = MAX_MESSAGE_BYTES if channel == CONTROL else MAX_FRAME_BYTES
                if length > longest or flags & _SHARED_MEMORY:
                    raise malformed(f"a frame of {length} bytes with the flags {flags:#x}")
                end = at + _HEAD.size + length
                if len(view) < end:
                    break
                frames.append((channel, bytes(view[at + _HEAD.size : end])))
                at = end
        del self._bytes[:at]
        return frames
