"""Chunks of RIFF, AIFF, CAF and Wave64 files: name, size, content.

Conventions: offsets and sizes in bytes; a size is that of the content alone. Chunk sizes are often odd, unpadded, stale
or too large for their field, so that each step is checked against the bytes that follow.
Source: Microsoft and IBM, "Multimedia Programming Interface and Data Specifications", 1991; EBU Tech 3306 (RF64);
Apple, "Audio Interchange File Format", 1989, and "Core Audio Format Specification"; Sony, "Wave64".
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Final, Literal

from soundwatch.daemon.capture.recordings.containers import mpeg

_NAMES: Final = (
    "data fact fmt. LIST list JUNK junk FLLR PAD. pad. PEAK bext iXML axml aXML _PMX cue. plst smpl inst acid DISP "
    "cart ID3. id3. guan afsp umid levl minf elm1 regn SyLp Cr8r SNDM ds64 chna note labl r64m SSND COMM FVER MARK "
    "COMT NAME AUTH (c). ANNO APPL INST MIDI AESD desc chan kuki strg mark info uuid free pakt edct ovvw"
)
KNOWN: Final = frozenset(name.replace(".", " ").encode() for name in _NAMES.split())
_PLAUSIBLE: Final = re.compile(rb"[A-Za-z0-9_(][ -~]{3}")
_TAGS: Final = (b"TAG", b"ID3", b"APETAGEX", b"RIFF", b"RIFX", b"RF64", b"FORM", b"fLaC", b"OggS")
_SLACK_BYTES: Final = 8
_PADDING_BYTES: Final = 65_536
_SEARCHED_BYTES: Final = 1 << 20
STREAMED_BYTES: Final = 0x7FFF_0000  # a writer to a pipe declares about 2 GiB or more, since the size is unknown
MOST_CHUNKS: Final = 4096  # recorders write some tens


@dataclass(frozen=True, slots=True)
class Chunk:
    """A chunk: name (of Wave64 the first four bytes of its GUID), offset of its content, and declared size."""

    name: bytes
    start: int
    size: int

    @property
    def end(self) -> int:
        """Declared end."""
        return self.start + self.size


@dataclass(frozen=True, slots=True)
class Syntax:
    """Layout of a format's chunks.

    Attributes:
        header: Layout of name and size.
        align: Chunks begin at multiples of this many bytes.
        inclusive: True if a size includes the header.
    """

    header: struct.Struct
    align: int
    inclusive: bool = False

    def chunk_at(self, file: BinaryIO, at: int) -> Chunk | None:
        """Read a chunk's header; None if there is none."""
        file.seek(at)
        content = file.read(self.header.size)
        if len(content) < self.header.size:
            return None
        name, size = self.header.unpack(content)
        if not _PLAUSIBLE.fullmatch(name[:4]):
            return None
        return Chunk(name[:4], at + self.header.size, size - (self.header.size if self.inclusive else 0))

    def next_at(self, file: BinaryIO, chunk: Chunk) -> int:
        """Return the offset of the chunk that follows, with or without padding."""
        padded = chunk.end + -chunk.end % self.align
        if padded != chunk.end:
            found, unpadded = self.chunk_at(file, padded), self.chunk_at(file, chunk.end)
            if unpadded and unpadded.name in KNOWN and not (found and found.name in KNOWN):
                return chunk.end
        return padded

    def walk(self, file: BinaryIO, at: int, size: int) -> Iterator[Chunk]:
        """Yield at most `MOST_CHUNKS` chunks from an offset on, the last of which may reach beyond the file's size."""
        for _ in range(MOST_CHUNKS):
            chunk = self.chunk_at(file, at)
            if chunk is None:
                return
            yield chunk
            if not 0 <= chunk.size <= size - chunk.start:
                return
            at = self.next_at(file, chunk)

    def first_chunks(self, file: BinaryIO, at: int, size: int) -> dict[bytes, Chunk]:
        """Return the first chunk of each name from an offset on."""
        found: dict[bytes, Chunk] = {}
        for chunk in self.walk(file, at, size):
            found.setdefault(chunk.name, chunk)
        return found

    def find(self, file: BinaryIO, name: bytes, at: int, size: int) -> Chunk | None:
        """Find a chunk by its bytes, where a wrong size hides it."""
        file.seek(at)
        place = file.read(max(0, min(_SEARCHED_BYTES, size - at))).find(name)
        return None if place < 0 else self.chunk_at(file, at + place)

    def ends_at(self, file: BinaryIO, chunk: Chunk, end: int, size: int) -> bool:
        """Return True if the content of a chunk can end at an offset: chunks, tags, padding or nothing follow."""
        if end > size or chunk.size < 0:
            return False
        if size - end <= _SLACK_BYTES:
            return True
        at = self.next_at(file, Chunk(chunk.name, chunk.start, end - chunk.start))
        file.seek(end)
        rest = file.read(_PADDING_BYTES)
        if any(rest[place:].startswith(_TAGS) or mpeg.starts_with_frames(rest[place:]) for place in (0, at - end)):
            return True
        if size - end <= _PADDING_BYTES and not rest.strip(b"\0"):
            return True
        last: Chunk | None = None
        for following in self.walk(file, at, size):
            if last is None and following.name in KNOWN:
                return True
            last = following
        return last is not None and abs(size - last.end) <= _SLACK_BYTES

    def sound_end(self, file: BinaryIO, chunk: Chunk, size: int, wraps_bytes: int = 0) -> int:
        """Return the end of the sound in a chunk.

        Args:
            file: The file.
            chunk: The chunk with its declared size.
            size: Size of the file.
            wraps_bytes: Modulus of the field for the size, which a long recording exceeds; 0 for none.
        """
        end = chunk.end
        while end <= size:
            if self.ends_at(file, chunk, end, size):
                return end
            if not wraps_bytes:
                break
            end += wraps_bytes
        return size


def encode_chunk(order: Literal["<", ">"], name: bytes, content: bytes) -> bytes:
    """Return a chunk of a WAV or AIFF file, padded to an even length; `order` is that of its size's bytes."""
    return struct.pack(f"{order}4sI", name, len(content)) + content + b"\0" * (len(content) % 2)


RIFF: Final = Syntax(struct.Struct("<4sI"), 2)
RIFX: Final = Syntax(struct.Struct(">4sI"), 2)
CAF: Final = Syntax(struct.Struct(">4sq"), 1)
WAVE64: Final = Syntax(struct.Struct("<16sQ"), 8, inclusive=True)
