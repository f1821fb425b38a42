"""FLAC files: their declared length, and joined files.

Conventions: a length of 0 in the header means unknown; the sound then extends to the end.
Source: RFC 9639.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from soundwatch.daemon.capture.containers.layout import Part
from soundwatch.daemon.capture.containers.search import SearchProgress

MAGIC: Final = b"fLaC"
_STARTS: Final = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with a block of 34 bytes of stream information
_HEADER_BYTES: Final = 42
_BLOCK_BYTES: Final = 1 << 20
END_BYTES: Final = 1 << 16  # a decoder reads ahead less than this
_FRAME: Final = re.compile(rb"\xff[\xf8\xf9][\x10-\xff][\x00-\xaf]")
_LONGEST_FRAME_HEADER_BYTES: Final = 17
_CRC8_POLYNOMIAL: Final = 0x107


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
    with SearchProgress(file, start, end) as progress:
        while at < end:
            progress.reach(at)
            file.seek(at)
            content = file.read(min(_BLOCK_BYTES, end - at))
            for magic in _STARTS:
                place = content.find(magic)
                while place >= 0:
                    found.append(at + place)
                    place = content.find(magic, place + 1)
            at += max(1, len(content) - len(_STARTS[0]) + 1) if len(content) == _BLOCK_BYTES else _BLOCK_BYTES
    return sorted(set(found))


def flac_end_sample(file: BinaryIO, part: Part) -> int:
    """Return the end of the last frame whose header lies in the last `END_BYTES` of a stream; 0 without one.

    A sequence of other bytes may look like a header, so the result is a reason to decode further, and no length.
    """
    start = max(part.start, part.end - END_BYTES)
    file.seek(start)
    content = file.read(part.end - start)
    largest = int.from_bytes(part.header[10:12], "big")
    return max((_end_sample(content, found.start(), largest) for found in _FRAME.finditer(content)), default=0)


def _end_sample(content: bytes, at: int, block_samples: int) -> int:
    """Return the sample after a frame; 0 if there is no valid header of one."""
    header = content[at : at + _LONGEST_FRAME_HEADER_BYTES].ljust(_LONGEST_FRAME_HEADER_BYTES, b"\0")
    variable, size_code, rate_code = header[1] & 1, header[2] >> 4, header[2] & 0x0F
    number_bytes = max(1, 8 - (header[4] ^ 0xFF).bit_length())  # in the code of UTF-8, up to 36 bits
    number = header[4] & (0x7F if number_bytes == 1 else 0x7F >> number_bytes)
    for byte in header[5 : 4 + number_bytes]:
        number = number << 6 | byte & 0x3F
    place = 4 + number_bytes
    size_bytes, rate_bytes = max(0, size_code - 5) if size_code < 8 else 0, {12: 1, 13: 2, 14: 2}.get(rate_code, 0)
    if size_bytes:
        samples = 1 + int.from_bytes(header[place : place + size_bytes], "big")
    else:
        samples = 192 if size_code == 1 else 576 << size_code - 2 if size_code < 6 else 256 << size_code - 8
    place += size_bytes + rate_bytes
    if _crc8(header[:place]) != header[place]:
        return 0
    return (number if variable else number * block_samples) + samples


def _crc8(content: bytes) -> int:
    """Compute the checksum of a frame's header."""
    checksum = 0
    for byte in content:
        checksum ^= byte
        for _ in range(8):
            checksum <<= 1
            checksum ^= _CRC8_POLYNOMIAL if checksum & 0x100 else 0
    return checksum
