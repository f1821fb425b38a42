"""Files that a program left behind when it was killed: parts of files, of backups, of restores and of exports.

Conventions: their names have the id of the process, which keeps them apart. A process holds the lock of their folder
as long as it needs them (`core/files/folder_lock.py`), so nothing in a locked folder counts as left behind. Where a
file system has no locks, the id decides, which is valid within one container only.
Does not: remove a file unasked.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.files.folder_lock import is_locked
from soundwatch.daemon.core.process.program_log import program_log

RESTORE_PREFIX: Final = ".soundwatch-restore-"
BACKUP_PREFIX: Final = ".soundwatch-backup-"
EXPORT_PREFIX: Final = ".soundwatch-export-"
_NAMES: Final = (
    re.compile(rf"{re.escape(RESTORE_PREFIX)}(\d+)-\d+"),
    re.compile(rf"{re.escape(BACKUP_PREFIX)}(\d+)-\w+"),
    re.compile(rf"{re.escape(EXPORT_PREFIX)}(\d+)-\w+"),
    re.compile(r"\..+\.(\d+)\.part"),  # `core/files/atomic_file.py`
)


def unfinished_files(folder: Path) -> list[Path]:
    """Return the files and folders of killed processes in a folder.

    Raises:
        OSError: The folder cannot be read.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    found = [(folder / name, int(match[1])) for name in names for one in _NAMES if (match := one.fullmatch(name))]
    locked = is_locked(folder) if found else False
    if locked:
        return []
    return [path for path, process in found if locked is False or not _is_alive(process)]


def remove_unfinished(folders: Iterable[Path], prefix: str = ".") -> None:
    """Remove what killed processes left in folders, of one kind or all; log what this user cannot remove, and leave it.

    Raises:
        OSError: A folder cannot be read.
    """
    for path in [path for folder in folders for path in unfinished_files(folder) if path.name.startswith(prefix)]:
        try:
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)
        except OSError as error:
            log = program_log()
            if log is not None:
                log.warning("unfinished_file_left", file=str(path), error=error.strerror or str(error))


def _is_alive(process: int) -> bool:
    """Return whether a process exists; True where the system cannot be asked."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
