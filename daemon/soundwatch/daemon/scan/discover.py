"""Search for recordings under paths.

Conventions: each file counts once; the order is that of the paths, and by name within a folder. A path to a file is
accepted with any name; in a folder, files with the suffix of a recording are, except names that begin with a dot.
Does not: open files.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.capture.recordings.files import files_under
from soundwatch.daemon.capture.recordings.recording import RECORDING_SUFFIXES
from soundwatch.daemon.core.files.paths import is_folder
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.text.utf8 import utf8_fault


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
        left_out: A message for each folder that cannot be read, and for each file whose name is not UTF-8.
        other_files: Number of files without the suffix of a recording.
    """

    recordings: tuple[RecordingFile, ...]
    left_out: tuple[str, ...]
    other_files: int


def find_recordings(paths: Sequence[Path]) -> SearchResult:
    """Find the recordings among and under the paths."""
    left_out: list[str] = []
    recordings: dict[str, RecordingFile] = {}
    other_files = 0
    for path in paths:
        if fault := utf8_fault(str(path), printable(str(path))):
            left_out.append(fault)
            continue
        if not is_folder(path):
            recordings.setdefault(os.path.abspath(path), _found(path))  # noqa: PTH100  # resolve() asks the disk
            continue
        under = files_under(path)
        left_out += under.left_out
        found = under.with_suffix(RECORDING_SUFFIXES)
        other_files += len(under.files) - len(found)
        for file in found:
            recordings.setdefault(os.path.abspath(file), _found(file))  # noqa: PTH100
    return SearchResult(tuple(recordings.values()), tuple(left_out), other_files)


def _found(path: Path) -> RecordingFile:
    try:
        status = path.stat()
    except OSError:  # reported when the file is opened
        return RecordingFile(path, 0, 0)
    return RecordingFile(path, status.st_size, status.st_mtime_ns)
