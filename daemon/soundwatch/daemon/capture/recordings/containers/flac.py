"""FLAC files: their declared length, and joined files.

Conventions: a length of 0 in the header means unknown; the sound then extends to the end. The header of a frame has the
number of its first sample, so a decoder can start again after damage.
Source: RFC 9639.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import BinaryIO, Final

from soundwatch.daemon.capture.recordings.containers.layout import Part
from soundwatch.daemon.capture.recordings.containers.search import SearchProgress

MAGIC: Final = b"fLaC"
_STARTS: Final = (b"fLaC\x00\x00\x00\x22", b"fLaC\x80\x00\x00\x22")  # with a block of 34 bytes of stream information
_HEADER_BYTES: Final = 42
_BLOCK_HEADER_BYTES: Final = 4
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
        skipped = _first_sample(file, first, after, int.from_bytes(header[10:12], "big"))
        if skipped < declared:
            declared -= skipped
        header[21] &= 0xF0
        header[22:26] = bytes(4)
        endless = bytes(header)
        header[21] |= declared >> 32
        header[22:26] = (declared & 0xFFFF_FFFF).to_bytes(4, "big")
        yield Part(
            first + _HEADER_BYTES,
            after,
            bytes(header),
            declared_samples=declared or None,
            endless_header=endless,
            first_sample=skipped,
        )


def _first_sample(file: BinaryIO, start: int, end: int, block_samples: int) -> int:
    """Return the first sample of the frame after a stream's blocks of metadata; 0 without a valid header there.

    A program that cuts a stream without decoding keeps the numbers of its frames and the length of the whole.
    """
    at, last = start + len(MAGIC), False
    while not last and at + _BLOCK_HEADER_BYTES <= end:
        file.seek(at)
        block = file.read(_BLOCK_HEADER_BYTES)
        last, at = bool(block[0] & 0x80), at + _BLOCK_HEADER_BYTES + int.from_bytes(block[1:], "big")
    file.seek(at)
    content = file.read(max(0, min(_LONGEST_FRAME_HEADER_BYTES, end - at)))
    samples = _samples_at(content, 0, block_samples) if _FRAME.match(content) else None
    return samples[0] if samples else 0


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
    return max((end for _, _, end in _frames(content, largest)), default=0)


def flac_rest(file: BinaryIO, part: Part, place: int, samples: int) -> Iterator[Part]:
    """Yield the rest of a stream after damage, as one part; none if no frames follow.

    Args:
        file: The file.
        part: The part that cannot be decoded further.
        place: Offset of a byte before the damage.
        samples: Number of samples that were decoded of the part.
    """
    largest, after = int.from_bytes(part.header[10:12], "big"), part.first_sample + samples
    total = None if part.declared_samples is None else part.first_sample + part.declared_samples
    place = max(place, part.start)
    with SearchProgress(file, place, part.end) as progress:
        while place < part.end:
            progress.reach(place)
            file.seek(place)
            frames = _frames(file.read(min(2 * _BLOCK_BYTES, part.end - place)), largest)
            starts = {start for _, start, _ in frames} | {total}
            for at, start, end in frames:
                if start > after and end in starts:  # other bytes look like a header, but not like two that fit
                    declared = None if total is None else total - start
                    endless = part.endless_header[:4] + b"\x80" + part.endless_header[5:]  # no other blocks follow
                    yield Part(
                        place + at, part.end, endless, None, declared, endless_header=endless, first_sample=start
                    )
                    return
            place += _BLOCK_BYTES


def flac_behind(file: BinaryIO, part: Part, place: int, samples: int) -> Part | None:
    """Return a stream behind the samples that were decoded; None if it is no FLAC, or has no two frames there.

    Args:
        file: The file.
        part: The stream, which has grown.
        place: Offset to which it was read.
        samples: Number of samples that were decoded of it.
    """
    rest = next(flac_rest(file, part, place - END_BYTES, samples - 1), None) if part.endless_header else None
    return rest if rest is not None and rest.first_sample == part.first_sample + samples else None


def _frames(content: bytes, block_samples: int) -> list[tuple[int, int, int]]:
    """Find headers of frames: the offset of each, its first sample, and the sample after its last."""
    found = ((match.start(), _samples_at(content, match.start(), block_samples)) for match in _FRAME.finditer(content))
    return [(at, *samples) for at, samples in found if samples is not None]


def _samples_at(content: bytes, at: int, block_samples: int) -> tuple[int, int] | None:
    """Return a frame's first sample and the sample after its last; None if there is no valid header of one."""
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
        return None
    first = number if variable else number * block_samples
    return first, first + samples


def _crc8(content: bytes) -> int:
    """Compute the checksum of a frame's header."""
    checksum = 0
    for byte in content:
        checksum ^= byte
        for _ in range(8):
            checksum <<= 1
            checksum ^= _CRC8_POLYNOMIAL if checksum & 0x100 else 0
    return checksum
