"""Which recordings there are under some paths.

Conventions: each file once, in the order of the paths and by name within a folder. A file that is named itself is taken
whatever it is called; in a folder those with the suffix of a recording are, but for names that begin with a dot.
Does not: open them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.capture.recording import RECORDING_SUFFIXES


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A file to be heard.

    Attributes:
        path: As it was reached, which is how events call it.
        size_bytes: Of the file; 0 where it is not there.
        modified_ns: When it was last written; with the size it tells whether it is still the same.
    """

    path: Path
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """What there is.

    Attributes:
        recordings: Each to be heard once.
        unread_folders: Why each folder that could not be looked into could not be.
        other_files: How many have no recording's suffix.
    """

    recordings: tuple[RecordingFile, ...]
    unread_folders: tuple[str, ...]
    other_files: int


def find_recordings(paths: Sequence[Path]) -> SearchResult:
    """All recordings that the paths are or hold."""
    unread_folders: list[str] = []
    recordings: dict[str, RecordingFile] = {}
    other_files = 0
    for path in paths:
        named = not path.is_dir()
        for file in [path] if named else _files_under(path, unread_folders):
            if named or file.suffix.lower() in RECORDING_SUFFIXES:
                recordings.setdefault(os.path.abspath(file), _found(file))  # noqa: PTH100  # resolve() asks the disk
            else:
                other_files += 1
    return SearchResult(tuple(recordings.values()), tuple(unread_folders), other_files)


def _files_under(folder: Path, unread_folders: list[str]) -> Iterator[Path]:
    def unread(error: OSError) -> None:
        unread_folders.append(f"{error.filename} cannot be looked into: {error.strerror}. Check its permissions.")

    for parent, folders, names in os.walk(folder, onerror=unread):
        folders.sort()
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _found(path: Path) -> RecordingFile:
    try:
        status = path.stat()
    except OSError:  # what is wrong is said when it is opened
        return RecordingFile(path, 0, 0)
    return RecordingFile(path, status.st_size, status.st_mtime_ns)
