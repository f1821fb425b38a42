"""Put the files of a checked archive in their places: all of them or none.

Conventions: every file is written to `.soundwatch-restore-PID-NUMBER` in the folder of its place and synchronized with
the disk. The files are renamed once all are written; an error before that removes them. Files of a process that was
killed are removed by the next restore, and named by the doctor.
Rule for a kill: the log (`-wal`) of the former journal is removed before its file is replaced, since SQLite would apply
it to the restored file.
Does not: check the archive or the places (`restore.py`).
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

from soundwatch.daemon.backup.archive import JOURNAL, copy_content, extract_files
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.core.files.unfinished import RESTORE_PREFIX, remove_unfinished
from soundwatch.daemon.journal.file.sqlite import empty_log


@contextmanager
def new_folders(paths: Iterable[Path]) -> Iterator[None]:
    """Make the folders of files; an error removes those that were not there before, if they are empty.

    Raises:
        OSError: A folder cannot be made.
    """
    made: list[Path] = []
    try:
        for folder in dict.fromkeys(path.parent for path in paths):
            made += [missing for missing in (folder, *folder.parents) if not missing.exists()]
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        yield
    except BaseException:
        for folder in sorted(made, key=lambda folder: len(folder.parts), reverse=True):
            with contextlib.suppress(OSError):  # it has other files
                folder.rmdir()
        raise


def install_files(archive: Path, paths: Mapping[str, Path]) -> None:
    """Write the files of an archive to their places.

    Raises:
        ConfigError: The archive cannot be read.
        OSError: A file cannot be written. No place has changed, unless renaming failed.
    """
    parts = {
        name: path.with_name(f"{RESTORE_PREFIX}{os.getpid()}-{number}")
        for number, (name, path) in enumerate(paths.items())
    }
    folders = {part.parent for part in parts.values()}
    remove_unfinished(folders, RESTORE_PREFIX)
    with ExitStack() as locks:
        for folder in folders:
            locks.enter_context(locked_folder(folder))
        _install(archive, parts, paths)


def _install(archive: Path, parts: Mapping[str, Path], paths: Mapping[str, Path]) -> None:
    try:
        extract_files(archive, lambda name, content: copy_content(content, _private(parts[name]), paths[name]))
        for name, part in parts.items():
            place = Path(os.path.realpath(paths[name]))
            if name == JOURNAL:
                empty_log(place)
            part.replace(place)
    finally:
        for part in parts.values():
            part.unlink(missing_ok=True)


def _private(part: Path) -> Path:
    """Make an empty file of mode 0600."""
    part.unlink(missing_ok=True)
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    return part
