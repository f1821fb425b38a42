"""AIFF, AIFF-C and CAF files, and Sun's AU.

Conventions: only uncompressed and companded sound is presented with another header; the packets of a codec are counted
in chunks of its own, so such a file is left to libsndfile.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import BinaryIO, Final

from soundwatch.daemon.capture.recordings.containers import chunks
from soundwatch.daemon.capture.recordings.containers.layout import Part

_AIFF_PLAIN: Final = frozenset((
    b"NONE", b"twos", b"sowt", b"raw ", b"in24", b"in32", b"42ni", b"23ni", b"fl32", b"FL32", b"fl64", b"FL64",
    b"alaw", b"ALAW", b"ulaw", b"ULAW",
))  # fmt: skip
_CAF_PLAIN: Final = (b"lpcm", b"alaw", b"ulaw")
_WRAPS_BYTES: Final = 1 << 32
_AU_HEADER: Final = struct.Struct(">4s5I")
_AU_UNKNOWN: Final = 0xFFFF_FFFF
_AU_SAMPLE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 3, 5: 4, 6: 4, 7: 8, 27: 1}


def aiff_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the part of an AIFF or AIFF-C file of plain sound."""
    file.seek(start)
    form = file.read(12)
    found = chunks.RIFX.first_chunks(file, start + 12, size)
    comm, ssnd = found.get(b"COMM"), found.get(b"SSND")
    if comm is None or ssnd is None or comm.size < 18 or size - ssnd.start < 8:
        return
    file.seek(comm.start)
    common = file.read(min(comm.size, 4096))
    if form[8:] == b"AIFC" and common[18:22] not in _AIFF_PLAIN:
        return
    file.seek(ssnd.start)
    offset = struct.unpack(">I", file.read(4))[0]
    sound, end = ssnd.start + 8 + offset, chunks.RIFX.sound_end(file, ssnd, size, _WRAPS_BYTES)
    channels, frames, bits = struct.unpack(">HIH", common[:8])
    frame_bytes = channels * -(-bits // 8)
    if not frame_bytes or not sound < end or end - sound >= _WRAPS_BYTES - 4096:
        return
    unknown = ssnd.end > size and ssnd.size >= chunks.STREAMED_BYTES
    declared = None if unknown else min(ssnd.size - 8 - offset, frames * frame_bytes)
    common = common[:2] + struct.pack(">I", (end - sound) // frame_bytes) + common[6:]
    inner = chunks.encode_chunk(">", b"COMM", common) + struct.pack(">4sIII", b"SSND", end - sound + 8, 0, 0)
    header = struct.pack(">4sI4s", b"FORM", 4 + len(inner) + end - sound, form[8:]) + inner
    yield Part(sound, end, header, None if declared is None else max(0, declared))


def caf_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the part of a CAF file of plain sound."""
    found = chunks.CAF.first_chunks(file, start + 8, size)
    desc, data = found.get(b"desc"), found.get(b"data")
    if desc is None or data is None or desc.size != 32:
        return
    file.seek(desc.start)
    description = file.read(32)
    if description[8:12] not in _CAF_PLAIN:
        return
    sound, end = data.start + 4, chunks.CAF.sound_end(file, data, size)  # after the count of edits
    header = b"caff\0\1\0\0" + struct.pack(">4sq", b"desc", 32) + description
    header += struct.pack(">4sqI", b"data", end - sound + 4, 0)
    yield Part(sound, end, header, None if data.size < 0 else max(0, data.size - 4))


def au_parts(file: BinaryIO, start: int, size: int) -> Iterator[Part]:
    """Yield the part of a big-endian AU file, which has nothing after its sound."""
    file.seek(start)
    content = file.read(_AU_HEADER.size)
    if len(content) < _AU_HEADER.size:
        return
    magic, offset, declared, encoding, rate_hz, channels = _AU_HEADER.unpack(content)
    sound, frame_bytes = start + offset, _AU_SAMPLE_BYTES.get(encoding, 0) * channels
    if not frame_bytes or not start + _AU_HEADER.size <= sound <= size:
        return
    length = min(size - sound, _AU_UNKNOWN)  # beyond 4 GiB libsndfile reads to the end
    header = _AU_HEADER.pack(magic, _AU_HEADER.size, length, encoding, rate_hz, channels)
    yield Part(sound, size, header, None if declared == _AU_UNKNOWN else declared)
