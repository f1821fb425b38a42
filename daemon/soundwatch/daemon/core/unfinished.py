"""Files that a program left behind when it was killed: parts of files, of backups and of restores.

Conventions: such a name has the id of the process. A file of a process that exists is left alone. A backup also locks
its folder, since a process of another container has an id that is unknown here.
Does not: remove a file unasked.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.program_log import program_log

if os.name == "posix":
    import fcntl

RESTORE_PREFIX: Final = ".soundwatch-restore-"
BACKUP_PREFIX: Final = ".soundwatch-backup-"
_NAMES: Final = (
    re.compile(rf"{re.escape(RESTORE_PREFIX)}(\d+)-\d+"),
    re.compile(rf"{re.escape(BACKUP_PREFIX)}(\d+)-\w+"),
    re.compile(r"\..+\.(\d+)\.part"),  # `core/atomic_file.py`
)


def unfinished_files(folder: Path) -> list[Path]:
    """Return the files and folders of killed processes in a folder.

    Raises:
        OSError: The folder cannot be read.
    """
    names = sorted(path.name for path in folder.iterdir() if path.name.startswith("."))
    found = [(name, pattern.fullmatch(name)) for name in names for pattern in _NAMES]
    ended = [folder / name for name, match in found if match is not None and not is_alive(int(match[1]))]
    return [path for path in ended if not _is_locked(path)]


def remove_unfinished(folders: Iterable[Path], prefix: str) -> None:
    """Remove what killed processes left in folders, of one kind; log what this user cannot remove, and leave it.

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


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Lock a folder within the context, so that no other process takes it for that of a killed one.

    Raises:
        OSError: The folder cannot be opened.
    """
    if os.name != "posix":
        yield
        return
    opened = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # a file system without locks: the id of the process remains
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)


def _is_locked(path: Path) -> bool:
    """Return whether a process has locked a file or a folder; False where the system cannot be asked."""
    if os.name != "posix":
        return False
    try:
        opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError:  # of another user, or removed meanwhile
        return False
    try:
        fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(opened)
    return False


def is_alive(process: int) -> bool:
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
