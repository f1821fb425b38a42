"""Writes a changed configuration file: atomically, with its owner and mode, and a copy of the former content.

Does not: decide what to write (`yaml_edit.py`).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.atomic_file import replace_file
from soundwatch.daemon.core.errors import ConfigError

BACKUP_SUFFIX: Final = ".bak"


def write_atomically(path: Path, content: bytes, check: Callable[[Path], None] = lambda _: None) -> None:
    """Replace the content of a file atomically; keep its owner and mode.

    Args:
        path: The file, or a link to it.
        content: The new content.
        check: Called with a temporary file of that content in the same folder, before it replaces the file.

    Raises:
        ConfigError: The file cannot be written.
    """
    real = path.resolve()

    def write(part: Path) -> None:
        _write_as(part, content, real)
        check(part)

    _replace(path, real, write)


def back_up(path: Path) -> Path:
    """Copy a file to `NAME.bak` in its folder, with its owner and mode; return the copy's path.

    Raises:
        ConfigError: The copy cannot be written.
    """
    real = path.resolve()
    copy = real.with_name(real.name + BACKUP_SUFFIX)
    _replace(path, copy, lambda part: _write_as(part, real.read_bytes(), real))
    return copy


def _write_as(part: Path, content: bytes, like: Path) -> None:
    """Write a file with the owner and the mode of another."""
    before = like.stat()
    with part.open("wb") as file:
        if os.name == "posix":
            if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
                os.fchown(file.fileno(), before.st_uid, before.st_gid)
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
        file.write(content)


def _replace(path: Path, target: Path, write: Callable[[Path], None]) -> None:
    try:
        replace_file(target, write, mode=0o600)
    except OSError as error:
        advice = "Free space on the disk."
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            advice = "Run this command as a user with write permission for the file and its folder."
        raise ConfigError(f"{path} cannot be changed: {error.strerror}. {advice}") from error
