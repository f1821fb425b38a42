"""Writes a changed configuration file: atomically, with its owner and mode, and a copy of the former content.

Conventions: a user who cannot give files away keeps group and mode, if the group can read and write the file.
Does not: decide what to write (`yaml_edit.py`).
"""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.languages.language import Sentence

BACKUP_SUFFIX: Final = ".bak"
MOUNTS: Final = Path("/proc/self/mountinfo")
_GROUP_MAY_WRITE: Final = stat.S_IRGRP | stat.S_IWGRP


def write_problem(path: Path, mounts: Path = MOUNTS) -> str:
    """Return the reason why a file cannot be replaced; empty if it can.

    Args:
        path: The file, or a link to it.
        mounts: Table of mounts of this process, as Linux has it.
    """
    real = path.resolve()
    if not os.access(real.parent, os.W_OK) or not os.access(real, os.W_OK):
        return Sentence(
            "{path} or its folder is read-only for the user of soundwatch, so settings cannot be stored.",
            path=str(path),
        )
    if os.path.ismount(real) or str(real) in _mount_points(mounts):
        return _mounted_text(path)
    before = real.stat()
    if os.name == "posix" and os.geteuid() != 0 and not _keeps_access(before):
        return _owner_text(path, before)
    return ""


def write_with_copy(path: Path, content: bytes, check: Callable[[Path], None] = lambda _: None) -> Path:
    """Copy a file to `NAME.bak` and replace its content, as `write_atomically` does; return the copy's path.

    Raises:
        ConfigError: The file cannot be written; no new copy is left.
    """
    problem = write_problem(path)
    if problem:
        raise ConfigError(problem)
    copy = back_up(path)
    try:
        write_atomically(path, content, check)
    except ConfigError:
        copy.unlink(missing_ok=True)
        raise
    return copy


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
            _keep_owner(file.fileno(), before, like)
            os.fchmod(file.fileno(), before.st_mode & 0o7777)
        file.write(content)


def _keep_owner(descriptor: int, before: os.stat_result, like: Path) -> None:
    if (before.st_uid, before.st_gid) == (os.geteuid(), os.getegid()):
        return
    try:
        os.fchown(descriptor, before.st_uid, before.st_gid)
    except PermissionError:
        if not _keeps_access(before):
            raise ConfigError(_owner_text(like, before)) from None
        os.fchown(descriptor, -1, before.st_gid)


def _keeps_access(before: os.stat_result) -> bool:
    """Return whether all users keep their access if the user of this process becomes the owner of a file."""
    has_group = before.st_gid in (os.getegid(), *os.getgroups())
    shared = before.st_uid == 0 or before.st_mode & _GROUP_MAY_WRITE == _GROUP_MAY_WRITE
    return has_group and (before.st_uid == os.geteuid() or shared)


def _mounted_text(path: Path) -> Sentence:
    return Sentence(
        "{path} is mounted alone, as in a container, and cannot be replaced. Mount its folder instead.", path=str(path)
    )


def _owner_text(path: Path, before: os.stat_result) -> Sentence:
    return Sentence(
        "{path} belongs to the user {user} and the group {group}, and a new file would not. "
        "Make the user of soundwatch its owner: {command}",
        path=str(path),
        user=str(before.st_uid),
        group=str(before.st_gid),
        command=f"chown {os.geteuid()}:{os.getegid()} {path}",
    )


def _mount_points(mounts: Path) -> set[str]:
    """Return the paths of all mounts of Linux; elsewhere none."""
    if not mounts.exists():
        return set()
    lines = mounts.read_text(errors="surrogateescape").splitlines()
    escaped = [line.split(" ")[4] for line in lines]
    return {re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), text) for text in escaped}


def _replace(path: Path, target: Path, write: Callable[[Path], None]) -> None:
    try:
        replace_file(target, write, mode=0o600)
    except OSError as error:
        if error.errno == errno.EBUSY:
            raise ConfigError(_mounted_text(path)) from error
        advice = "Free space on the disk."
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            advice = "Run this command as a user with write permission for the file and its folder."
        raise ConfigError(f"{path} cannot be changed: {error.strerror}. {advice}") from error
