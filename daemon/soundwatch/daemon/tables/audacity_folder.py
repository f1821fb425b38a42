"""Check that a folder holds only labels of Audacity before it is replaced.

Conventions: a label file ends in `.txt`, and its first line begins with two times.
Does not: write labels (`tables/writers.py`).
"""

from __future__ import annotations

from pathlib import Path

from soundwatch.daemon.core.errors import ConfigError


def check_replaceable(folder: Path) -> None:
    """Check that a folder holds only label files.

    Raises:
        ConfigError: The folder holds another file.
    """
    for file in folder.rglob("*"):
        if not file.is_dir() and not _holds_labels(file):
            raise ConfigError(
                f"{folder} exists, and {file} is not a label file; labels replace only a folder of label "
                "files. Give a new folder."
            )


def _holds_labels(file: Path) -> bool:
    if file.suffix != ".txt":
        return False
    with file.open(encoding="utf-8", errors="replace") as opened:
        times = opened.readline().split("\t")[:2]
    try:
        return len([float(time) for time in times]) == 2
    except ValueError:
        return False
