"""Ogg files (Vorbis, Opus, FLAC): chained files, in which one link follows another, and pages that are lost.

Conventions: a link begins with the first pages of its streams. libsndfile reads a file's first link only. A decoder
leaves out a page whose checksum is wrong, so the pages that it decodes are counted here.
Source: RFC 3533. A radio stream and a recorder that starts again write such files.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from soundwatch.daemon.capture.recordings.containers.layout import Part
from soundwatch.daemon.capture.recordings.containers.search import SearchProgress

_PAGE: Final = struct.Struct("<4sBBqIIIB")
_FIRST, _LAST = 0x02, 0x04
_MOST_SEGMENTS: Final = 255
_CHECKSUM: Final = slice(22, 26)
_SEARCHED_BYTES: Final = 1 << 16
_REVERSED_BITS: Final = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


@dataclass(frozen=True, slots=True)
class _Page:
    """A page: its offset and size in bytes, flags, stream and number in the stream."""

    at: int
    size: int
    flags: int
    stream: int
    number: int


@dataclass(slots=True)
class _Link:
    """A link that is being searched.

    Attributes:
        start: Offset of its first page.
        numbers: Number of the last page of each stream.
        open_streams: Streams whose last page was not found.
        lost_pages: Number of pages that are missing.
        in_header: True as long as all pages begin a stream.
    """

    start: int
    numbers: dict[int, int] = field(default_factory=dict)
    open_streams: set[int] = field(default_factory=set)
    lost_pages: int = 0
    in_header: bool = True

    def add(self, page: _Page) -> None:
        """Count the pages between a page and the one before it in its stream."""
        if page.flags & _FIRST:
            self.open_streams.add(page.stream)
        elif page.stream in self.numbers:
            self.lost_pages += max(0, page.number - self.numbers[page.stream] - 1)
        self.in_header = bool(page.flags & _FIRST)
        self.numbers[page.stream] = page.number
        if page.flags & _LAST:
            self.open_streams.discard(page.stream)

    def part(self, end: int, cut_bytes: int, *, last: bool = False) -> Part:
        """Return the link as a part that ends with `cut_bytes` that are no whole page.

        The last link of a file is to end with the last page of each stream; a recorder that starts again leaves the
        others without.
        """
        damage = ""
        if self.lost_pages:
            damage = f"pages of Ogg are missing or do not match their checksums ({self.lost_pages})"
        elif cut_bytes and self.open_streams:
            damage = f"its last {cut_bytes} bytes are no whole page of Ogg"
        elif last and self.open_streams:
            damage = "its last pages of Ogg are missing"
        return Part(self.start, end, damage=damage)


def ogg_parts(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield a part for each link."""
    at, link = start, _Link(start)
    with SearchProgress(file, start, end) as progress:
        while (page := _next_page(file, at, end, progress)) is not None:
            if page.flags & _FIRST and not link.in_header:
                yield link.part(page.at, page.at - at)
                link = _Link(page.at)
            link.add(page)
            at = page.at + page.size
    yield link.part(end, end - at, last=True)


def _next_page(file: BinaryIO, at: int, end: int, progress: SearchProgress) -> _Page | None:
    """Find the next page that is whole."""
    while at + _PAGE.size <= end:
        progress.reach(at)
        file.seek(at)
        head = file.read(_PAGE.size + _MOST_SEGMENTS)
        magic, _, flags, _, stream, number, checksum, segments = _PAGE.unpack(head[: _PAGE.size])
        if magic == b"OggS":
            size = _PAGE.size + segments + sum(head[_PAGE.size : _PAGE.size + segments])
            page = (head + file.read(max(0, size - len(head))))[:size]
            if len(page) == size and at + size <= end and _checksum(page) == checksum:
                return _Page(at, size, flags, stream, number)
        file.seek(at + 1)
        content = file.read(_SEARCHED_BYTES)
        place = content.find(b"OggS")
        at += 1 + (place if place >= 0 else max(0, len(content) - 3))
    return None


def _checksum(page: bytes) -> int:
    """Compute the checksum of a page: CRC-32 from the highest bit on, of the page with 0 for its checksum.

    zlib's CRC-32 has the lowest bit first, so the bits of each byte and of the result are reversed.
    """
    content = bytearray(page)
    content[_CHECKSUM] = bytes(4)
    reverse = zlib.crc32(content.translate(_REVERSED_BITS), 0xFFFF_FFFF) ^ 0xFFFF_FFFF
    return int.from_bytes(reverse.to_bytes(4, "big").translate(_REVERSED_BITS), "little")
