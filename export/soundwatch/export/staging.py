"""Folder for files that are not verified yet.

Conventions: a folder inside the output folder, so that a verified file is put in place by a rename.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from soundwatch.daemon.core.errors import ConfigError


@contextmanager
def staging_folder(out: Path) -> Iterator[Path]:
    """Make the folder, and the output folder if it does not exist; what is left in the folder is removed at the end.

    Raises:
        ConfigError: The output folder cannot be written to.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=out, prefix=".unverified-") as folder:
            yield Path(folder)
    except OSError as error:
        raise ConfigError(
            f"{out} cannot be written to: {error.strerror}. Choose another --out, or make room."
        ) from error
