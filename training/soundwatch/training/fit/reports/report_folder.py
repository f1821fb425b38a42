"""Folder of a report's files.

Conventions: a command makes the folder before its work, and prints its report before it writes the files, so that
nothing is lost where they cannot be written. The files are written to a folder inside it and put in place together: a
full disk leaves none of a report, and the report that was there before is whole.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.core.files.unfinished import EXPORT_PREFIX, remove_unfinished


@contextmanager
def report_folder(out: Path) -> Iterator[Path]:
    """Make the folder, yield one for the files of a report, and put them in place at the end.

    Raises:
        SinkError: The folder cannot be made or written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        remove_unfinished([out], EXPORT_PREFIX)
        with locked_folder(out), tempfile.TemporaryDirectory(dir=out, prefix=f"{EXPORT_PREFIX}{os.getpid()}-") as made:
            yield Path(made)
            for file in sorted(Path(made).iterdir()):
                replace_file(out / file.name, partial(shutil.move, file))
    except OSError as error:
        raise SinkError(
            f"The report cannot be written to {out}: {error.strerror or error}. Make room, or choose another --out."
        ) from error
