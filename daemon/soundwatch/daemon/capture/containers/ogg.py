"""Chained Ogg files (Vorbis, Opus, FLAC): one link follows another.

Conventions: a link begins with the first pages of its streams. libsndfile reads a file's first link only.
Source: RFC 3533. A radio stream and a recorder that starts again write such files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from soundwatch.daemon.capture.containers.layout import Part
from soundwatch.daemon.capture.containers.search import SearchProgress

_PAGE: Final = struct.Struct("<4sBBqIIIB")
_FIRST: Final = 0x02
_SEARCHED_BYTES: Final = 1 << 16


def ogg_parts(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield a part for each link."""
    at, in_header = start, True
    with SearchProgress(file, start, end) as progress:
        while (page := _page_at(file, at, end, progress)) is not None:
            at, first, size = page
            if first and not in_header:
                yield Part(start, at)
                start = at
            in_header = first
            at += size
    yield Part(start, end)


def _page_at(file: BinaryIO, at: int, end: int, progress: SearchProgress) -> tuple[int, bool, int] | None:
    """Find the next page: its offset, whether a stream begins with it, and its size in bytes."""
    while at + _PAGE.size <= end:
        progress.reach(at)
        file.seek(at)
        content = file.read(_PAGE.size + 255)
        magic, _, kind, *_, segments = _PAGE.unpack(content[: _PAGE.size])
        if magic == b"OggS":
            return at, bool(kind & _FIRST), _PAGE.size + segments + sum(content[_PAGE.size : _PAGE.size + segments])
        file.seek(at + 1)
        place = file.read(_SEARCHED_BYTES).find(b"OggS")
        at += 1 + (place if place >= 0 else _SEARCHED_BYTES - 4)
    return None
