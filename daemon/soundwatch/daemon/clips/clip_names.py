"""Names of clips and their pictures in a folder.

Conventions: a name is `TIME-SOURCE-CLASS-SCORE-ID.flac` in ASCII letters, digits, dashes, dots and underscores. TIME is
UTC of the first sample, SCORE the peak score of the event, rounded down. A picture of a clip has its name with `.png`.
Does not: write or remove a file (`clip_store.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
import zlib
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from soundwatch.daemon.clips.recorder import PendingClip

_NAME: Final = re.compile(r"(\d{8}T\d{9}Z)-(\w+)-(\w+)-(\d\.\d{4})-([0-9A-Z]{26})\.flac", re.ASCII)
_LONGEST_WORD: Final = 40


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One clip of the folder.

    Attributes:
        path: The file.
        stamp: Time in the name; sorts by time.
        class_word: Class in the name.
        score: Peak score of the event.
        id: Id of the event.
        size_bytes: Size of the file, and of its picture.
    """

    path: Path
    stamp: str
    class_word: str
    score: float
    id: str
    size_bytes: int


def list_clips(folder: Path) -> list[StoredClip]:
    """List all clips of a folder."""
    found = list[StoredClip]()
    for name, size_bytes in (sizes := _file_sizes(folder)).items():
        if _NAME.fullmatch(name):
            path = folder / name
            found.append(parse_clip_name(path, size_bytes + sizes.get(picture_path(path).name, 0)))
    return found


def list_pictures(folder: Path) -> set[Path]:
    """List the pictures of clips in a folder, also of clips that are gone."""
    names = (name for name in _file_sizes(folder) if name.endswith(".png"))
    return {folder / name for name in names if _NAME.fullmatch(f"{name.removesuffix('.png')}.flac")}


def picture_path(clip: Path) -> Path:
    """Return the path of the picture of a clip."""
    return clip.with_suffix(".png")


def _file_sizes(folder: Path) -> dict[str, int]:
    sizes = dict[str, int]()
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            with contextlib.suppress(FileNotFoundError):  # another program removed the file
                sizes[entry.name] = entry.stat(follow_symlinks=False).st_size
    return sizes


def parse_clip_name(path: Path, size_bytes: int) -> StoredClip:
    """Parse the name of a clip."""
    named = _NAME.fullmatch(path.name)
    assert named is not None
    stamp, _, class_word, score, id_ = named.groups()
    return StoredClip(path, stamp, class_word, float(score), id_, size_bytes)


def file_name(clip: PendingClip) -> str:
    """Return the name of the file of a clip."""
    stamp = format_stamp(datetime.fromtimestamp(clip.start_unix_ns // 1_000_000 / 1000, UTC))
    score = int(clip.peak_score * 10_000) / 10_000
    return f"{stamp}-{filename_word(clip.source)}-{filename_word(clip.label)}-{score:.4f}-{clip.id}.flac"


def format_stamp(moment: datetime) -> str:
    """Format a time for a file name, in milliseconds."""
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"


def filename_word(text: str) -> str:
    """Make a name safe for a file name: other characters become `_`, and a checksum keeps different names apart."""
    safe = re.sub(r"[^A-Za-z0-9_]", "_", text)[:_LONGEST_WORD]
    return safe if safe == text else f"{safe}_{zlib.crc32(text.encode()):08x}"
