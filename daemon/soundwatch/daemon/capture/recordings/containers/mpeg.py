"""MPEG audio streams (MP3): their first frame, their Xing header, and the tags around them.

Conventions: an MPEG frame has no length of the whole. Without a Xing header a decoder estimates one from its first
frame, which is far off at a variable bit rate; so a header with a length beyond every file is presented instead.
Rule: a Xing header is kept, since it allows an exact start and end, if its count of frames is that of the file; the
frames of joined files and of a stale header are more.
Source: ISO/IEC 11172-3 and 13818-3; the Xing and VBRI headers as encoders write them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import BinaryIO, Final

from soundwatch.daemon.capture.recordings.containers.layout import Part
from soundwatch.daemon.capture.recordings.containers.search import SearchProgress

_RATES_HZ: Final = {3: (44_100, 48_000, 32_000), 2: (22_050, 24_000, 16_000), 0: (11_025, 12_000, 8_000)}
_KBITS: Final = {
    (3, 1): (32, 64, 96, 128, 160, 192, 224, 256, 288, 320, 352, 384, 416, 448),
    (3, 2): (32, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320, 384),
    (3, 3): (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    (2, 1): (32, 48, 56, 64, 80, 96, 112, 128, 144, 160, 176, 192, 224, 256),
    (2, 2): (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
_XING_BITRATE: Final = 9  # index of a bit rate at which a frame has room for the header
_ENDLESS_FRAMES: Final = (1 << 31) - 1
_SEARCHED_BYTES: Final = 1 << 17
_CERTAIN_FRAMES: Final = 4  # samples look like one frame, but not like so many in a row
_SLACK_FRAMES: Final = 2  # some encoders count a frame less


@dataclass(frozen=True, slots=True)
class Frame:
    """The header of an MPEG audio frame: its 4 bytes, layer, size in bytes, samples, and side information in bytes."""

    header: bytes
    layer: int
    size: int
    samples: int
    side: int

    @property
    def format(self) -> tuple[int, int, bool]:
        """Version and layer, rate, and whether the frame has one channel."""
        return self.header[1] & 0xFE, self.header[2] & 0x0C, self.header[3] >> 6 == 3


@dataclass(frozen=True, slots=True)
class Run:
    """Consecutive frames of one format.

    Attributes:
        start: Offset of the first.
        end: Offset of the end.
        frames: Number of frames.
        frame: The first frame.
        missing_bytes: Number of bytes that the last frame lacks.
    """

    start: int
    end: int
    frames: int
    frame: Frame
    missing_bytes: int = 0

    @property
    def damage(self) -> str:
        """Sound that is missing at the end, as in a part; one cut frame alone may be other bytes."""
        cut = self.missing_bytes and self.frames > 1
        return f"its last frame of MPEG audio lacks {self.missing_bytes} bytes" if cut else ""


@lru_cache(maxsize=256)  # a stream has a few different headers
def parse_frame(header: bytes) -> Frame | None:
    """Parse 4 bytes; None if they are no header of a frame with a known bit rate."""
    if len(header) < 4 or header[0] != 0xFF or header[1] & 0xE0 != 0xE0:
        return None
    version, layer = header[1] >> 3 & 3, 4 - (header[1] >> 1 & 3)
    kbit, rate, padding = header[2] >> 4, header[2] >> 2 & 3, header[2] >> 1 & 1
    if version == 1 or layer == 4 or kbit in (0, 15) or rate == 3:
        return None
    rate_hz = _RATES_HZ[version][rate]
    bits = 1000 * _KBITS[min(version, 3) if version == 3 else 2, layer if version == 3 else min(layer, 2)][kbit - 1]
    if layer == 1:
        return Frame(header[:4], layer, (12 * bits // rate_hz + padding) * 4, 384, 0)
    samples = 576 if layer == 3 and version != 3 else 1152
    mono = header[3] >> 6 == 3
    side = (17 if mono else 32) if version == 3 else (9 if mono else 17)
    return Frame(header[:4], layer, samples // 8 * bits // rate_hz + padding, samples, side)


def mpeg_parts(file: BinaryIO, start: int, end: int) -> Iterator[Part]:
    """Yield a part for each run of frames in a range of bytes."""
    with SearchProgress(file, start, end) as progress:
        runs = list(_runs(file, start, end, progress))
    before = start
    for number, run in enumerate(runs):
        gap_bytes = 0 if number == 0 or _is_tag(file, before) else run.start - before
        yield replace(_part(file, run, gap_bytes, last=number + 1 == len(runs)), damage=run.damage)
        before = run.end


def _part(file: BinaryIO, run: Run, gap_bytes: int, *, last: bool) -> Part:
    """Choose the header to decode a run with."""
    if run.frame.layer != 3:
        return Part(run.start, run.end, gap_bytes=gap_bytes, estimated=True)
    file.seek(run.start)
    declared = _declared_frames(run.frame, file.read(run.frame.size))
    if declared is not None and run.frames <= declared + 1 and (last or run.frames >= declared):
        return Part(run.start, run.end, gap_bytes=gap_bytes)
    start, samples = run.start, None
    if declared is not None:
        start = run.start + run.frame.size
        samples = declared * run.frame.samples if last and run.frames > declared + _SLACK_FRAMES + 1 else None
    return Part(start, run.end, _endless(run.frame), declared_samples=samples, gap_bytes=gap_bytes, estimated=True)


def _is_tag(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    return file.read(8).startswith((b"ID3", b"TAG", b"APETAGEX"))


def starts_with_frames(content: bytes) -> bool:
    """Return True if some frames of one format follow one another at the start."""
    at, first = 0, parse_frame(content[:4])
    for _ in range(_CERTAIN_FRAMES):
        frame = parse_frame(content[at : at + 4])
        if first is None or frame is None or frame.format != first.format:
            return False
        at += frame.size
    return True


def first_frame(file: BinaryIO, start: int, end: int, progress: SearchProgress) -> tuple[int, Frame] | None:
    """Find the first frame that another one of its format or the end follows, and its offset."""
    while start < end:
        progress.reach(start)
        file.seek(start)
        content = file.read(min(_SEARCHED_BYTES, end - start))
        at = content.find(b"\xff")
        while at >= 0:
            frame = parse_frame(content[at : at + 4])
            if frame is not None:
                file.seek(start + at + frame.size)
                following = parse_frame(file.read(4))
                if start + at + frame.size >= end or (following and following.format == frame.format):
                    return start + at, frame
            at = content.find(b"\xff", at + 1)
        start += max(1, len(content) - 3)
    return None


def _declared_frames(frame: Frame, content: bytes) -> int | None:
    """Return the number of frames in a Xing or VBRI header; None without one."""
    at = 4 + frame.side
    if content[at : at + 4] in (b"Xing", b"Info") and len(content) >= at + 12 and content[at + 7] & 1:
        return int(struct.unpack(">I", content[at + 8 : at + 12])[0])
    if content[36:40] == b"VBRI" and len(content) >= 54:
        return int(struct.unpack(">I", content[50:54])[0])
    return None


def _runs(file: BinaryIO, at: int, end: int, progress: SearchProgress) -> Iterator[Run]:
    """Yield all runs of frames without a gap or a change of their format."""
    while at < end and (found := first_frame(file, at, end, progress)) is not None:
        start, frame = found
        at, count, following = start + frame.size, 1, None
        while at < end:
            progress.reach(at)
            file.seek(at)
            following = parse_frame(file.read(4))
            if following is None or following.format != frame.format:
                break
            at += following.size
            count += 1
        yield Run(start, min(at, end), count, frame, max(0, at - end))


def _endless(frame: Frame) -> bytes:
    """Build a frame with a Xing header for a stream of unknown length, in the format of a frame."""
    header = bytes(
        (0xFF, frame.header[1] | 1, _XING_BITRATE << 4 | frame.header[2] & 0x0C, frame.header[3])
    )  # without a checksum and padding
    made = parse_frame(header)
    assert made is not None
    return (header + bytes(made.side) + struct.pack(">4sII", b"Xing", 1, _ENDLESS_FRAMES)).ljust(made.size, b"\0")
