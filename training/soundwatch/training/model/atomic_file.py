"""Files that are the old ones until they are the new ones.

Conventions: written under the suffix `.part` and renamed when the disk has it all, so that a crash, a
full disk or a pulled plug leaves what was there before.
Does not: say what went wrong; the caller knows what it was writing.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path


def replace_file(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` make the file elsewhere, and put it in place.

    Raises:
        OSError: It cannot be written; what was there before still is, and no part is left.
        RuntimeError: The same, as torch says it.
    """
    part = path.with_suffix(".part")
    try:
        write(part)
        with part.open("rb+") as file:
            os.fsync(file.fileno())
        part.replace(path)
    except BaseException:
        if part.is_file():
            part.unlink()
        raise
