"""Replace a file in one step.

Conventions: the new content is written to `.NAME.PID.part` in the folder of the file, synchronized with the disk and
renamed; the lock of the folder is held meanwhile. After a crash, a full disk or a loss of power the file has its old
content or its new content, never a mixture. A link stays, and the file that it leads to is replaced. Pipes, sockets and
devices are refused.
Does not: explain an error; callers know what they were writing.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.files.folder_lock import locked_folder

PART_SUFFIX: Final = ".part"


def replace_file(path: Path, write: Callable[[Path], object], mode: int | None = None) -> None:
    """Write a temporary file, then rename it to `path`.

    Args:
        path: The file to replace or to create.
        write: Writes the whole content to the path that it is given. It may make a folder there instead.
        mode: Permissions, set before the first byte is written; None for those that `write` chooses.

    Raises:
        OSError: The file cannot be written. Its old content is still there, and the temporary file is removed.
    """
    if path.is_symlink():
        path = Path(os.path.realpath(path))
    if path.exists() and not (path.is_file() or path.is_dir()):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    part = path.with_name(f".{path.name}.{os.getpid()}{PART_SUFFIX}")
    with locked_folder(path.parent):
        try:
            if mode is not None:
                part.unlink(missing_ok=True)
                os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
            write(part)
            if part.is_file():
                with part.open("rb+") as file:
                    os.fsync(file.fileno())
            part.replace(path)
        except BaseException:
            _remove(part)
            raise


def replace_bytes(path: Path, content: bytes, mode: int | None = None) -> None:
    """Replace the content of a file, as `replace_file` does.

    Raises:
        OSError: The file cannot be written. Its old content is still there.
    """
    replace_file(path, lambda part: part.write_bytes(content), mode)


def _remove(part: Path) -> None:
    if part.is_dir():
        shutil.rmtree(part, ignore_errors=True)
    else:
        part.unlink(missing_ok=True)
