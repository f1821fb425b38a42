"""The folder that clips lie in: what they are called, how they get there whole, and which have to go.

Conventions: a name is `TIME-SOURCE-CLASS-SCORE-ID.flac`, of ASCII letters, digits, dashes, dots and underscores; the
time is UTC of the first sample, the score the event's peak, rounded down. The folder is its owner's alone (0700), and
so is each file (0600). A file is there whole or not at all. Nothing but files of such names is ever removed.
Rule: what is older than `max_age_days` goes, whatever it is: that is a promise. For want of room the oldest go first,
but of each class the `best_per_class` with the highest scores go last, the best of all very last.
Does not: decide what may be written (`clips/speech_guard.py`), or run in the engine's thread (`writer.py`).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import zlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Final

import soundfile

from soundwatch.daemon import __version__
from soundwatch.daemon.clips.recorder import PendingClip
from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError

_NAME: Final = re.compile(r"(\d{8}T\d{9}Z)-(\w+)-(\w+)-(\d\.\d{4})-([0-9A-Z]{26})\.flac", re.ASCII)
_PART: Final = re.compile(r"\.[\w.-]+\.flac(\.\d+)?\.part", re.ASCII)
_LONGEST_WORD: Final = 40
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class StoredClip:
    """A clip that lies there.

    Attributes:
        path: The file.
        stamp: Its time, as its name has it: sorts as time does.
        class_word: Its class, as its name has it.
        score: Its event's peak score.
        id: Its event's.
        size_bytes: Its length.
    """

    path: Path
    stamp: str
    class_word: str
    score: float
    id: str
    size_bytes: int


class ClipStore:
    """A folder of clips.

    Args:
        folder: Made if it is not there.
        config: How much it may hold.

    Raises:
        ConfigError: It cannot be made or written to.
    """

    def __init__(self, folder: Path, config: ClipsConfig) -> None:
        self.folder = folder
        self._config = config
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.iterdir():
                if _PART.fullmatch(path.name):  # a killed program left it
                    path.unlink()
        except OSError as error:
            raise ConfigError(
                f"clips.folder {folder} cannot be used: {error.strerror}. Give a folder that this user may write to, "
                "or null to keep no sound."
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"clips.folder {folder} may not be written to by this user. Give another folder.")

    def put(self, clip: PendingClip) -> StoredClip:
        """Write a clip, in place of old ones where there is no room.

        Raises:
            OSError: It cannot be written.
            LibsndfileError: FLAC cannot hold it.
        """
        sound = encode_flac(clip)
        path = self.folder / file_name(clip)
        try:
            replace_file(path, lambda part: part.write_bytes(sound), mode=0o600)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._make_room(len(sound)):
                raise
            replace_file(path, lambda part: part.write_bytes(sound), mode=0o600)
        return parse_clip_name(path, len(sound))

    def trim(self, now: datetime) -> int:
        """Remove what is too old or too much.

        Returns:
            How many files that were.
        """
        oldest = format_stamp(now - timedelta(days=self._config.max_age_days))
        return _remove(select_expired(list_clips(self.folder), self._config, oldest))

    def _make_room(self, wanted_bytes: int) -> bool:
        """Remove the oldest that are none of the best, until there should be room; False where they are too few."""
        kept = list_clips(self.folder)
        best = {each.path for each in rank_best(kept, self._config.best_per_class)}
        going, freed_bytes = list[StoredClip](), 0
        for each in sorted(kept, key=lambda each: each.stamp):
            if each.path not in best and freed_bytes < wanted_bytes:
                going.append(each)
                freed_bytes += each.size_bytes
        return freed_bytes >= wanted_bytes and _remove(going) > 0


def select_expired(kept: Sequence[StoredClip], config: ClipsConfig, oldest_stamp: str) -> list[StoredClip]:
    """Which of these have to go."""
    going = [each for each in kept if each.stamp < oldest_stamp]
    staying = [each for each in kept if each.stamp >= oldest_stamp]
    best = rank_best(staying, config.best_per_class)
    ordinary = [each for each in staying if each not in set(best)]
    excess_bytes = sum(each.size_bytes for each in staying) - config.max_bytes
    for each in [*sorted(ordinary, key=lambda each: each.stamp), *best]:
        if excess_bytes <= 0:
            break
        going.append(each)
        excess_bytes -= each.size_bytes
    return going


def rank_best(kept: Sequence[StoredClip], best_per_class: int) -> list[StoredClip]:
    """Of each class those with the highest scores, in the order in which they may go: every class's best comes last."""
    classes = defaultdict[str, list[StoredClip]](list)
    for each in sorted(kept, key=lambda each: (each.score, each.stamp), reverse=True):
        classes[each.class_word].append(each)
    places = [(place, each) for own in classes.values() for place, each in enumerate(own[:best_per_class])]
    return [each for _, each in sorted(places, key=lambda placed: (-placed[0], placed[1].score, placed[1].stamp))]


def list_clips(folder: Path) -> list[StoredClip]:
    """All clips of a folder."""
    found = list[StoredClip]()
    with contextlib.suppress(FileNotFoundError), os.scandir(folder) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with contextlib.suppress(FileNotFoundError):  # somebody else removed it
                    found.append(parse_clip_name(Path(entry.path), entry.stat(follow_symlinks=False).st_size))
    return found


def parse_clip_name(path: Path, size_bytes: int) -> StoredClip:
    """What a clip's name says."""
    named = _NAME.fullmatch(path.name)
    assert named is not None
    stamp, _, class_word, score, id_ = named.groups()
    return StoredClip(path, stamp, class_word, float(score), id_, size_bytes)


def file_name(clip: PendingClip) -> str:
    """What a clip is called."""
    stamp = format_stamp(datetime.fromtimestamp(clip.start_unix_ns // 1_000_000 / 1000, UTC))
    score = int(clip.peak_score * 10_000) / 10_000
    return f"{stamp}-{filename_word(clip.source)}-{filename_word(clip.label)}-{score:.4f}-{clip.id}.flac"


def format_stamp(moment: datetime) -> str:
    """A time as file names have it, to the millisecond."""
    return f"{moment:%Y%m%dT%H%M%S}{moment.microsecond // 1000:03d}Z"


def filename_word(text: str) -> str:
    """A name as a part of a file's: other characters become `_`, and a checksum then tells it from others alike."""
    safe = re.sub(r"[^A-Za-z0-9_]", "_", text)[:_LONGEST_WORD]
    return safe if safe == text else f"{safe}_{zlib.crc32(text.encode()):08x}"


def encode_flac(clip: PendingClip) -> bytes:
    """A clip as FLAC, with its class, source and event in the tags that players show."""
    frames = clip.cut.frames()
    buffer = BytesIO()
    with soundfile.SoundFile(buffer, "w", clip.cut.rate_hz, frames.shape[1], "PCM_16", format="FLAC") as file:
        file.title, file.artist, file.comment = clip.label, clip.source, clip.id
        file.software = f"soundwatch {__version__}"
        file.write(frames)
    return buffer.getvalue()


def _remove(going: Sequence[StoredClip]) -> int:
    gone = 0
    for each in going:
        with contextlib.suppress(OSError):
            each.path.unlink()
            gone += 1
    return gone
