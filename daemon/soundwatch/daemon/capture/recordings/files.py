"""Files under a folder: in all its subfolders, and behind links to folders.

Conventions: sorted by path; files and subfolders whose names begin with a dot (a wastebasket, the data of another
program) are left out. A folder is visited once, by its own path rather
than by a link, so that a link to a folder above it is no endless loop. A link to nothing counts as a file, so that its
reader reports it. A name that is not UTF-8 is reported, since no line can hold it.
Does not: open the files.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from soundwatch.daemon.core.files.paths import is_file, is_there
from soundwatch.daemon.core.text.printable import printable
from soundwatch.daemon.core.text.utf8 import utf8_fault


@dataclass(frozen=True, slots=True)
class FolderFiles:
    """Files under a folder.

    Attributes:
        files: Their paths, sorted.
        left_out: A sentence for each folder that cannot be listed, and for each file whose name is not UTF-8.
    """

    files: tuple[Path, ...]
    left_out: tuple[str, ...]

    def with_suffix(self, suffixes: Iterable[str]) -> tuple[Path, ...]:
        """Return the files with one of some suffixes, in upper or lower case."""
        wanted = frozenset(suffixes)
        return tuple(path for path in self.files if path.suffix.lower() in wanted)


def files_under(folder: Path) -> FolderFiles:
    """List the files under a folder."""
    files: list[Path] = []
    left_out: list[str] = []
    visited: set[tuple[int, int]] = set()

    def report(error: OSError) -> None:
        left_out.append(f"{printable(error.filename)} cannot be listed: {error.strerror}. Check its permissions.")

    waiting = [folder]
    while waiting:
        for parent, folders, names in os.walk(waiting.pop(0), onerror=report):
            here = Path(parent)
            if _is_visited(here, visited):
                folders.clear()
                continue
            folders[:] = [name for name in folders if not name.startswith(".")]
            for path in (here / name for name in names if not name.startswith(".")):
                if fault := utf8_fault(str(path), printable(str(path))):
                    left_out.append(fault)
                elif is_file(path) or not is_there(path):
                    files.append(path)
            waiting += [here / name for name in sorted(folders) if (here / name).is_symlink()]
    return FolderFiles(tuple(sorted(files)), tuple(left_out))


def _is_visited(folder: Path, visited: set[tuple[int, int]]) -> bool:
    """Return True at the second visit of a folder."""
    status = folder.stat()
    identity = (status.st_dev, status.st_ino)
    seen = identity in visited
    visited.add(identity)
    return seen
