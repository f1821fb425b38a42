"""Files that a program left behind when it was killed: parts of files, of backups and of restores.

Conventions: such a name has the id of the process. A file of a process that exists is left alone.
Does not: remove a file unasked.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Final

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
    return [folder / name for name, match in found if match is not None and not is_alive(int(match[1]))]


def remove_unfinished(folders: Iterable[Path], prefix: str) -> None:
    """Remove what killed processes left in folders, of one kind.

    Raises:
        OSError: A folder cannot be read, or a file cannot be removed.
    """
    for path in [path for folder in folders for path in unfinished_files(folder) if path.name.startswith(prefix)]:
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


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
