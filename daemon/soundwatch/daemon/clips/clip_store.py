"""A folder of clips: atomic writes and retention.

Conventions: the folder has mode 0700 and each file 0600. A file is complete or absent. Only files with names of clips
(`clip_names.py`) are ever removed. A picture is removed with its clip, and its bytes count as the clip's.
Rule for age: the age of a clip is the time that soundwatch ran since it was written, suspended time included. The
wall clock is not used, since one wrong reading would remove everything. Clips older than `max_age_days` are removed.
Rule for room: the oldest clips are removed first. Of each class the `best_per_class` clips with the highest scores are
removed last, and the single best of all classes at the very end.
Does not: decide which clips may be written (`clips/speech_guard.py`), or run in the engine's thread (`writer.py`).
"""

from __future__ import annotations

import errno
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence, Set
from io import BytesIO
from pathlib import Path
from typing import Annotated, Final

import msgspec
import soundfile

from soundwatch.daemon import __version__
from soundwatch.daemon.clips.clip_names import (
    StoredClip,
    file_name,
    list_clips,
    list_pictures,
    parse_clip_name,
    picture_path,
)
from soundwatch.daemon.clips.recorder import PendingClip
from soundwatch.daemon.config.config import ClipsConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.text.utf8 import check_utf8
from soundwatch.daemon.core.time.clock import DAY_S, monotonic_ns

_PART: Final = re.compile(r"\.[\w.-]+\.(flac|png)(\.\d+)?\.part", re.ASCII)
AGES_NAME: Final = ".ages.json"
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT)


class AgeRecord(msgspec.Struct, kw_only=True):
    """The content of `.ages.json`.

    Attributes:
        run_s: Total time that soundwatch ran with this folder.
        written_at_s: `run_s` when each clip was written, by the name of its file.
    """

    run_s: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    written_at_s: dict[str, float] = {}


class ClipStore:
    """A folder of clips.

    Args:
        folder: Made if it is absent.
        config: Limits of age and size.
        steady_ns: A clock that cannot be set.

    Raises:
        ConfigError: The folder cannot be made or written to, or its path is not UTF-8.
    """

    def __init__(self, folder: Path, config: ClipsConfig, steady_ns: Callable[[], int] = monotonic_ns) -> None:
        self.folder = folder
        self._config = config
        self._steady_ns = steady_ns
        check_utf8(str(folder.absolute()), f"clips.folder {printable(str(folder.absolute()))}")
        try:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for path in folder.iterdir():
                if _PART.fullmatch(path.name):  # left behind by a program that was killed
                    path.unlink()
        except OSError as error:
            raise ConfigError(
                f"clips.folder {folder} cannot be used: {error.strerror}. Give a folder that this user may write to, "
                "or null to keep no sound."
            ) from error
        if not os.access(folder, os.W_OK | os.X_OK):
            raise ConfigError(f"clips.folder {folder} may not be written to by this user. Give another folder.")
        self._ages = read_ages(folder)
        self._begin_ns = steady_ns() - round(self._ages.run_s * 1e9)

    def save(self, clip: PendingClip) -> StoredClip:
        """Write a clip; old clips are removed where the disk is full.

        Raises:
            OSError: The clip cannot be written.
            LibsndfileError: FLAC cannot hold the clip.
        """
        sound = encode_flac(clip)
        path = self.folder / file_name(clip)
        try:
            replace_bytes(path, sound, mode=0o600)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._make_room(len(sound)):
                raise
            replace_bytes(path, sound, mode=0o600)
        self._ages.written_at_s[path.name] = self._run_s()
        return parse_clip_name(path, len(sound))

    def save_picture(self, stored: StoredClip, png: bytes) -> str:
        """Write the picture of a clip; return its name.

        Raises:
            OSError: The picture cannot be written.
        """
        path = picture_path(stored.path)
        replace_bytes(path, png, mode=0o600)
        return path.name

    def trim(self) -> int:
        """Remove clips that are too old or take too much room, and record the ages of the others.

        Returns:
            The number of removed files.

        Raises:
            OSError: The folder cannot be read, the ages cannot be written, or at last a file cannot be removed.
        """
        now_s, clips = self._run_s(), list_clips(self.folder)
        ages = {clip.path.name: self._ages.written_at_s.get(clip.path.name, now_s) for clip in clips}
        oldest_s = now_s - self._config.max_age_days * DAY_S
        expired = {name for name, written_at_s in ages.items() if written_at_s <= oldest_s}
        going = select_expired(clips, self._config, expired)
        failures = _remove(going)
        failures += _unlink(list_pictures(self.folder) - {picture_path(clip.path) for clip in clips})  # clips are gone
        self._ages = AgeRecord(run_s=now_s, written_at_s=ages)
        for clip in going:
            if not clip.path.exists():
                self._ages.written_at_s.pop(clip.path.name, None)
        replace_bytes(self.folder / AGES_NAME, msgspec.json.encode(self._ages), mode=0o600)
        if failures:
            raise failures[0]
        return len(going)

    def _run_s(self) -> float:
        return (self._steady_ns() - self._begin_ns) / 1e9

    def _make_room(self, needed_bytes: int) -> bool:
        """Remove the oldest clips that are not among the best; False where they free too little."""
        clips = list_clips(self.folder)
        best = {clip.path for clip in rank_best(clips, self._config.best_per_class)}
        going, freed_bytes = list[StoredClip](), 0
        for clip in sorted(clips, key=lambda clip: clip.stamp):
            if clip.path not in best and freed_bytes < needed_bytes:
                going.append(clip)
                freed_bytes += clip.size_bytes
        if freed_bytes >= needed_bytes:
            _remove(going)
        return not all(clip.path.exists() for clip in going)


def read_ages(folder: Path) -> AgeRecord:
    """Read the record of ages; an absent or damaged record counts as empty, and every clip as new."""
    try:
        return msgspec.json.decode((folder / AGES_NAME).read_bytes(), type=AgeRecord)
    except (OSError, *JSON_ERRORS):
        return AgeRecord()


def select_expired(clips: Sequence[StoredClip], config: ClipsConfig, expired: Set[str]) -> list[StoredClip]:
    """Select the clips to remove.

    Args:
        clips: All clips of the folder.
        config: Limits.
        expired: Names of the files that are too old.
    """
    going = [clip for clip in clips if clip.path.name in expired]
    staying = [clip for clip in clips if clip.path.name not in expired]
    best = rank_best(staying, config.best_per_class)
    ordinary = [clip for clip in staying if clip not in set(best)]
    excess_bytes = sum(clip.size_bytes for clip in staying) - config.max_bytes
    for clip in [*sorted(ordinary, key=lambda clip: clip.stamp), *best]:
        if excess_bytes <= 0:
            break
        going.append(clip)
        excess_bytes -= clip.size_bytes
    return going


def rank_best(clips: Sequence[StoredClip], best_per_class: int) -> list[StoredClip]:
    """Return the best clips of each class, ordered for removal: the best one of every class comes last."""
    classes = defaultdict[str, list[StoredClip]](list)
    for clip in sorted(clips, key=lambda clip: (clip.score, clip.stamp), reverse=True):
        classes[clip.class_word].append(clip)
    ranked = [(rank, clip) for members in classes.values() for rank, clip in enumerate(members[:best_per_class])]
    return [clip for _, clip in sorted(ranked, key=lambda entry: (-entry[0], entry[1].score, entry[1].stamp))]


def encode_flac(clip: PendingClip) -> bytes:
    """Encode a clip as FLAC, with class, source and event in the tags."""
    frames = clip.excerpt.frames()
    buffer = BytesIO()
    with soundfile.SoundFile(buffer, "w", clip.excerpt.rate_hz, frames.shape[1], "PCM_16", format="FLAC") as file:
        file.title, file.artist, file.comment = clip.label, clip.source, clip.id
        file.software = f"soundwatch {__version__}"
        file.write(frames)
    return buffer.getvalue()


def _remove(going: Sequence[StoredClip]) -> list[OSError]:
    """Remove clips with their pictures; return the errors."""
    return _unlink(path for clip in going for path in (clip.path, picture_path(clip.path)))


def _unlink(paths: Iterable[Path]) -> list[OSError]:
    failures = list[OSError]()
    for path in paths:
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            failures.append(error)
    return failures
