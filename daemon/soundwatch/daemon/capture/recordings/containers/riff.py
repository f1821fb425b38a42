"""WAV files: RIFF, RIFX, RF64, BW64 and Wave64.

Conventions: the sound is presented as a plain WAV of its `fmt `, `fact` and `data` chunks, or as RF64 beyond 4 GiB.
Rule: an MP3 stream in a WAV is read as an MP3. Joined WAV files, and several `data` chunks of a file, are parts of one
recording.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import BinaryIO, Final, Literal

from soundwatch.daemon.capture.recordings.containers import chunks, mpeg
from soundwatch.daemon.capture.recordings.containers.chunks import STREAMED_BYTES, Chunk, Syntax
from soundwatch.daemon.capture.recordings.containers.layout import Part

MAGIC: Final = (b"RIFF", b"RIFX", b"RF64", b"BW64")
WAVE64_MAGIC: Final = bytes.fromhex("726966662e91cf11a5d628db04c10000")
_VIDEO: Final = b"AVI "
_RIFF_HEADER_BYTES: Final = 8
_UNKNOWN: Final = 0xFFFF_FFFF
_WRAPS_BYTES: Final = 1 << 32
_LARGEST_BYTES: Final = _WRAPS_BYTES - 4096
_LARGEST_HEADER_BYTES: Final = 4096
_SHORT_FORM_BYTES: Final = 14
_MPEG_FORMATS: Final = (0x50, 0x55)


def riff_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the parts of a WAV file, none if its chunks cannot be followed."""
    while True:
        file.seek(start)
        magic = file.read(12)
        if magic[:4] in MAGIC and magic[8:] == _VIDEO:  # for ffmpeg
            declared = _RIFF_HEADER_BYTES + int.from_bytes(magic[4:8], "little")
            yield Part(start, size, declared_bytes=declared if declared < STREAMED_BYTES else None)
            return
        if magic[:4] not in MAGIC or magic[8:] != b"WAVE":
            return
        syntax = chunks.RIFX if magic[:4] == b"RIFX" else chunks.RIFF
        end = yield from _parts(file, syntax, start + 12, size)
        if end is None:
            return
        start = end + end % 2 if _is_magic(file, end + end % 2) else end


def wave64_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the part of a Wave64 file."""
    yield from _parts(file, chunks.WAVE64, start + 40, size)


def _is_magic(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(4) in MAGIC


def _parts(file: BinaryIO, syntax: Syntax, at: int, size: int) -> Generator[Part, None, int | None]:
    """Yield the parts of one WAV file, and return the offset after its sound."""
    found: dict[bytes, Chunk] = {}
    for chunk in syntax.walk(file, at, size):
        found.setdefault(chunk.name, chunk)
        at = chunk.start
        if chunk.name == b"data":
            break
    data = found.get(b"data") or syntax.find(file, b"data", at, size)
    if b"fmt " not in found or data is None or found[b"fmt "].size > _LARGEST_HEADER_BYTES:
        return None
    sizes = _content(file, found[b"ds64"])[:16] if b"ds64" in found else b""
    if data.size == _UNKNOWN and len(sizes) == 16:
        data = Chunk(data.name, data.start, struct.unpack("<QQ", sizes)[1])
    wraps = 0 if sizes or syntax is chunks.WAVE64 else _WRAPS_BYTES
    end = syntax.sound_end(file, data, size, wraps)
    form = _complete(_content(file, found[b"fmt "]), "big" if syntax is chunks.RIFX else "little")
    if int.from_bytes(form[:2], "big" if syntax is chunks.RIFX else "little") in _MPEG_FORMATS:
        cut = size < data.end and data.size < STREAMED_BYTES
        yield from _declaring(mpeg.mpeg_parts(file, data.start, end), data.end - end if cut else 0)
        return end
    fact = _content(file, found[b"fact"]) if b"fact" in found else b""
    unknown = data.size >= STREAMED_BYTES and data.end > size
    header = _header(form, fact[:4], end - data.start, big_endian=syntax is chunks.RIFX)
    yield Part(data.start, end, header, None if unknown else max(0, data.size))
    for more in syntax.walk(file, syntax.next_at(file, Chunk(data.name, data.start, end - data.start)), size):
        if more.name == b"data" and 0 < more.size <= size - more.start:
            end = more.end
            header = _header(form, b"", more.size, big_endian=syntax is chunks.RIFX)
            yield Part(more.start, end, header, more.size)
    return end


def _declaring(parts: Iterator[Part], missing_bytes: int) -> Iterator[Part]:
    """Yield parts, the last of which declares some bytes more than there are."""
    found = list(parts)
    if found and missing_bytes:
        found[-1] = replace(found[-1], declared_bytes=found[-1].size_bytes + missing_bytes)
    yield from found


def _complete(form: bytes, order: Literal["big", "little"]) -> bytes:
    """Add the bits of a sample to a format of PCM that ends before them, from the bytes of a frame."""
    if len(form) != _SHORT_FORM_BYTES or int.from_bytes(form[:2], order) != 1:
        return form
    channels, frame_bytes = int.from_bytes(form[2:4], order), int.from_bytes(form[12:14], order)
    return form + (8 * frame_bytes // max(1, channels)).to_bytes(2, order)


def _content(file: BinaryIO, chunk: Chunk) -> bytes:
    file.seek(chunk.start)
    return file.read(min(max(0, chunk.size), _LARGEST_HEADER_BYTES))


def _header(form: bytes, fact: bytes, data_bytes: int, *, big_endian: bool) -> bytes:
    """Build the header of a WAV file with one length of sound."""
    order: Literal["<", ">"] = ">" if big_endian else "<"
    inner = chunks.encode_chunk(order, b"fmt ", form)
    if len(fact) == 4:
        inner += chunks.encode_chunk(order, b"fact", fact)
    if data_bytes <= _LARGEST_BYTES:
        size = 4 + len(inner) + 8 + data_bytes
        magic = b"RIFX" if big_endian else b"RIFF"
        return (
            struct.pack(f"{order}4sI4s", magic, size, b"WAVE") + inner + struct.pack(f"{order}4sI", b"data", data_bytes)
        )
    ds64 = struct.pack("<4sIQQQI", b"ds64", 28, 4 + 36 + len(inner) + 8 + data_bytes, data_bytes, 0, 0)
    return struct.pack("<4sI4s", b"RF64", _UNKNOWN, b"WAVE") + ds64 + inner + struct.pack("<4sI", b"data", _UNKNOWN)
