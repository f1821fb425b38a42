"""Search for recordings under paths.

Conventions: each file counts once; the order is that of the paths, and by name within a folder. A path to a file is
accepted with any name; in a folder, files with the suffix of a recording are, except names that begin with a dot.
Does not: open files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.capture.recording import RECORDING_SUFFIXES


@dataclass(frozen=True, slots=True)
class RecordingFile:
    """A recording found.

    Attributes:
        path: The path as found; events name it.
        size_bytes: Size of the file; 0 if there is none.
        modified_ns: Time of the last change; a file with equal path, size and time counts as unchanged.
    """

    path: Path
    size_bytes: int
    modified_ns: int


@dataclass(frozen=True, slots=True)
class SearchResult:
    """Result of a search.

    Attributes:
        recordings: The recordings, without duplicates.
        unread_folders: A message for each folder that cannot be read.
        other_files: Number of files without the suffix of a recording.
    """

    recordings: tuple[RecordingFile, ...]
    unread_folders: tuple[str, ...]
    other_files: int


def find_recordings(paths: Sequence[Path]) -> SearchResult:
    """Find the recordings among and under the paths."""
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
        unread_folders.append(f"{error.filename} cannot be read: {error.strerror}. Check its permissions.")

    for parent, folders, names in os.walk(folder, onerror=unread):
        folders.sort()
        for name in sorted(names):
            if not name.startswith("."):
                yield Path(parent, name)


def _found(path: Path) -> RecordingFile:
    try:
        status = path.stat()
    except OSError:  # reported when the file is opened
        return RecordingFile(path, 0, 0)
    return RecordingFile(path, status.st_size, status.st_mtime_ns)
