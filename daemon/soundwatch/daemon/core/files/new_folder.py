"""Write a data set into a new folder, which is put in place when it is whole.

Conventions: as in `core/files/atomic_file.py`; what a killed process left of the folder is removed.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from soundwatch.daemon.core.errors import DataError, SinkError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.files.paths import is_there
from soundwatch.daemon.core.files.unfinished import remove_unfinished


def write_new_folder(folder: Path, write: Callable[[Path], object], *errors: type[Exception]) -> None:
    """Write a folder that does not exist yet, or is empty.

    Args:
        folder: The folder.
        write: Makes the folder of the path that it is given, with its whole content.
        errors: Errors of `write` beside `OSError` that mean that a file cannot be written.

    Raises:
        DataError: The folder is not empty.
        SinkError: The folder cannot be written. No part of it is left.
    """
    failures: tuple[type[Exception], ...] = (OSError, *errors)
    try:
        if is_there(folder) and (not folder.is_dir() or any(folder.iterdir())):
            raise DataError(f"{folder} is not empty; a new folder was expected. Remove it, or name another.")
        folder.parent.mkdir(parents=True, exist_ok=True)
        remove_unfinished([folder.parent], f".{folder.name}.")
        replace_file(folder, write)
    except failures as error:
        raise SinkError(
            f"{folder} cannot be written: {getattr(error, 'strerror', None) or error}. Nothing is left of it. Make "
            "room, or name another folder."
        ) from error
