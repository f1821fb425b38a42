"""Paths as users write them.

Conventions: where the system cannot look for a file, since a name is too long or a folder is closed to this user, the
answer is no. `Path.exists` of Python 3.11 raises there; that of Python 3.14 does not.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import ConfigError

LONGEST_SECRET_BYTES: Final = 65_536


def expand_path(text: str) -> Path:
    """Return a path with its home folder.

    Raises:
        ConfigError: There is no user of that name.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise ConfigError(f"{text}: this system has no such user, so the path leads nowhere. Write it out.") from error


def literal_path(text: str) -> Path:
    """Return a path with its home folder; the text itself where it names no user, as a shell does."""
    return Path(os.path.expanduser(text))  # noqa: PTH111  # `Path.expanduser` raises


def read_text(path: Path, longest_bytes: int) -> str:
    """Read a file of text; also once from a pipe.

    Raises:
        OSError: The file cannot be read, or is longer, such as a wrong file or a device.
        UnicodeDecodeError: The file is no text in UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(longest_bytes + 1)
    if len(content) > longest_bytes:
        raise OSError(errno.EFBIG, f"it is longer than {longest_bytes} bytes", str(path))
    return content.decode("utf-8-sig")


def read_secret(path: Path) -> str:
    """Read a file of text that holds a secret, such as a token or an address, as `read_text` does."""
    return read_text(path, LONGEST_SECRET_BYTES)


def is_there(path: Path) -> bool:
    """Return whether a path leads to something."""
    return os.path.exists(path)  # noqa: PTH110


def is_file(path: Path) -> bool:
    """Return whether a path leads to a regular file."""
    return os.path.isfile(path)  # noqa: PTH113


def is_pipe(path: Path) -> bool:
    """Return whether a path leads to a named pipe."""
    return os.path.exists(path) and path.is_fifo()  # noqa: PTH110


def is_folder(path: Path) -> bool:
    """Return whether a path leads to a folder."""
    return os.path.isdir(path)  # noqa: PTH112
