"""Values that are read from files, and read again after a file was replaced.

Conventions: a file that is missing now counts as unchanged, as while another program replaces it. So does what is no
regular file: a pipe can be read once.
Does not: watch files; the caller asks before each use.
"""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Generic, TypeVar

from soundwatch.daemon.core.files.paths import expand_path

Value = TypeVar("Value")
Stamp = tuple[int, int, int]


class Renewed(Generic[Value]):
    """A value from files.

    Args:
        load: Reads the files and returns the value.
        files: Paths of the files; None for an option that is not given.

    Raises:
        SoundwatchError: As `load` does.
    """

    def __init__(self, load: Callable[[], Value], files: Iterable[str | None]) -> None:
        self._load = load
        self._files = [expand_path(file) for file in files if file]
        self._stamps = {file: _stamp(file) for file in self._files}
        self._value = load()

    def get(self) -> Value:
        """Return the value of the present files.

        Raises:
            SoundwatchError: As `load` does, for a file that was replaced.
        """
        stamps = {file: _stamp(file) or self._stamps[file] for file in self._files}
        if stamps != self._stamps:
            self._value = self._load()
            self._stamps = stamps
        return self._value


def _stamp(file: Path) -> Stamp | None:
    """Return time, size and number of a regular file, which change with its content; None for anything else."""
    try:
        found = file.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino) if stat.S_ISREG(found.st_mode) else None
