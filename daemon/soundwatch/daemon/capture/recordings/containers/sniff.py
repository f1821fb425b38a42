"""Recognition of an audio file by its first bytes, and the tags of music players around it.

Conventions: a file's name is not considered. The layouts of the last few long files are kept. Tags: ID3v2 at the start;
ID3v1, Lyrics3 and APE at the end.
"""

from __future__ import annotations

import os
import threading
from typing import BinaryIO, Final

from soundwatch.daemon.capture.recordings.containers import apple, flac, mpeg, ogg, riff
from soundwatch.daemon.capture.recordings.containers.layout import Part

_ID3V1_BYTES: Final = 128
_APE: Final = b"APETAGEX"
_APE_BYTES: Final = 32  # a header or a footer
_KEPT_FROM_BYTES: Final = 1 << 24  # less is searched in some milliseconds
_SEARCHED_BYTES: Final = 1 << 14  # some frames of MP3
_MOST_KEPT: Final = 4
_kept: Final[dict[tuple[int, ...], tuple[Part, ...]]] = {}
_kept_lock: Final = threading.Lock()


def find_parts(file: BinaryIO, size: int) -> tuple[Part, ...]:
    """Find the parts of a file; none if its format is unknown here, so that a decoder gets the whole file.

    Some formats are searched from the start to the end, so the parts of a long file that is opened again, as by a scan
    in chunks, are kept as long as the file does not change.
    """
    if size < _KEPT_FROM_BYTES:
        return _find_parts(file, size)
    status = os.fstat(file.fileno())
    key = (status.st_dev, status.st_ino, size, status.st_mtime_ns, status.st_ctime_ns)
    parts = _kept.get(key)
    if parts is None:
        parts = _find_parts(file, size)
        with _kept_lock:
            _kept[key] = parts
            while len(_kept) > _MOST_KEPT:
                del _kept[next(iter(_kept))]
    return parts


def _find_parts(file: BinaryIO, size: int, at: int = 0) -> tuple[Part, ...]:
    start = _after_id3v2(file, size, at)
    file.seek(start)
    magic = file.read(16)
    if magic[:4] in riff.MAGIC:
        parts = tuple(riff.riff_parts(file, start, size))
        return parts + (_recording_after(file, parts[-1].end, size) if parts else ())
    if magic == riff.WAVE64_MAGIC:
        return tuple(riff.wave64_parts(file, start, size))
    if magic[:4] == b"FORM":
        return tuple(apple.aiff_parts(file, start, size))
    if magic[:4] == b"caff":
        return tuple(apple.caf_parts(file, start, size))
    if magic[:4] == b".snd":
        return tuple(apple.au_parts(file, start, size))
    if magic[:4] == b"OggS":
        return tuple(ogg.ogg_parts(file, start, size))
    if magic[:4] == flac.MAGIC:
        return tuple(flac.flac_parts(file, start, _before_tags(file, start, size)))
    if start > at or mpeg.parse_frame(magic) is not None:
        return tuple(mpeg.mpeg_parts(file, start, _before_tags(file, start, size)))
    return ()


def _recording_after(file: BinaryIO, end: int, size: int) -> tuple[Part, ...]:
    """Find the parts of a FLAC, Ogg or MP3 file that was joined to a WAV file, with or without padding."""
    for at in (end, end + end % 2):
        start = _after_id3v2(file, size, at)
        file.seek(start)
        content = file.read(_SEARCHED_BYTES)
        if content.startswith((b"OggS", flac.MAGIC)) or mpeg.starts_with_frames(content):
            return _find_parts(file, size, at)
    return ()


def _after_id3v2(file: BinaryIO, size: int, at: int) -> int:
    """Return the offset after all ID3v2 tags at an offset."""
    while at < size:
        file.seek(at)
        tag = file.read(10)
        if len(tag) < 10 or tag[:3] != b"ID3" or max(tag[6:]) > 0x7F:
            break
        length = tag[6] << 21 | tag[7] << 14 | tag[8] << 7 | tag[9]
        at += 10 + length + (10 if tag[5] & 0x10 else 0)
    return min(at, size)


def _before_tags(file: BinaryIO, start: int, end: int) -> int:
    """Return the offset of the first tag at the end."""
    while end - start > _ID3V1_BYTES:
        file.seek(end - _ID3V1_BYTES)
        tail = file.read(_ID3V1_BYTES)
        if tail[:3] == b"TAG":
            end -= _ID3V1_BYTES
        elif tail[-_APE_BYTES:].startswith(_APE):
            length = int.from_bytes(tail[-20:-16], "little")
            if not _APE_BYTES <= length <= end - start:
                break
            end -= length
            file.seek(max(start, end - _APE_BYTES))
            if file.read(len(_APE)) == _APE:
                end -= _APE_BYTES
        elif tail[-9:] == b"LYRICS200" and tail[-15:-9].isdigit():
            end -= min(end - start, int(tail[-15:-9]) + 15)
        else:
            break
    return end
