"""FLAC files: their declared length, and joined files.

Conventions: a length of 0 in the header means unknown; the sound then extends to the end.
Source: RFC 9639.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from soundwatch.daemon.capture.containers.layout import Part

MAGIC: Final = b"fLaC"
_STARTS: Final = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with a block of 34 bytes of stream information
_HEADER_BYTES: Final = 42
_BLOCK_BYTES: Final = 1 << 20


def flac_parts(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield a part for each FLAC stream."""
    for first, after in pairwise([*_starts(file, start, end), end]):
        file.seek(first)
        header = bytearray(file.read(_HEADER_BYTES))
        if len(header) < _HEADER_BYTES:
            return
        declared = (header[21] & 0x0F) << 32 | int.from_bytes(header[22:26], "big")
        own = bytes(header)
        header[21] &= 0xF0
        header[22:26] = bytes(4)
        yield Part(first + _HEADER_BYTES, after, own, declared_samples=declared or None, endless_header=bytes(header))


def _starts(file: BinaryIO, start: int, end: int) -> list[int]:
    """Find the offsets of all streams."""
    found, at = list[int](), start
    while at < end:
        file.seek(at)
        content = file.read(min(_BLOCK_BYTES, end - at))
        for magic in _STARTS:
            place = content.find(magic)
            while place >= 0:
                found.append(at + place)
                place = content.find(magic, place + 1)
        at += max(1, len(content) - len(_STARTS[0]) + 1) if len(content) == _BLOCK_BYTES else _BLOCK_BYTES
    return sorted(set(found))
