"""Shared locks of folders, which end with the process that holds them.

Conventions: a process that makes a temporary file holds the lock of its folder until the file is renamed or removed.
While nobody holds it, such files are those of killed processes. Unlike a process id, a lock is valid in all containers.
Source: flock(2).
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

if os.name == "posix":
    import fcntl

TRY_S: Final = 0.01
MAX_TRIES: Final = 100


@contextmanager
def locked_folder(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder within the context, with any number of other processes.

    A folder that this user cannot read, or whose file system has no locks, is left without a lock.
    """
    with contextlib.ExitStack() as stack:
        if os.name == "posix":
            with contextlib.suppress(OSError):
                opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
                stack.callback(os.close, opened)
                _lock(opened)
        yield


def is_locked(folder: Path) -> bool | None:
    """Return whether a process holds the lock of a folder; None where the system cannot be asked."""
    if os.name != "posix":
        return None
    try:
        opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(opened)
    return False


def _lock(opened: int) -> None:
    """Take the lock; `is_locked` of another process holds it for a moment.

    Raises:
        OSError: The file system has no locks, or a foreign program holds the lock alone.
    """
    for _ in range(MAX_TRIES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(opened, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return
        time.sleep(TRY_S)
    raise BlockingIOError
