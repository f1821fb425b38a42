"""Folder of a report's files.

Conventions: a command makes the folder before its work, and prints its report before it writes the files, so that
nothing is lost where they cannot be written.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundwatch.daemon.core.errors import SinkError


@contextmanager
def report_folder(out: Path) -> Iterator[Path]:
    """Make the folder, and convert errors of writing into it.

    Raises:
        SinkError: The folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        yield out
    except OSError as error:
        raise SinkError(
            f"The report cannot be written to {out}: {error.strerror or error}. Make room, or choose another --out."
        ) from error
