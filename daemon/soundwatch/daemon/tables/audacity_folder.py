"""Whether a folder holds nothing but Audacity's labels, so that new ones may take its place.

Conventions: a file of labels ends in `.txt`, and its first line begins with two times.
Does not: write labels (`tables/writers.py`).
"""

from __future__ import annotations

from pathlib import Path

from soundwatch.daemon.core.errors import ConfigError


def check_replaceable(folder: Path) -> None:
    """Let nobody's files be lost where a folder of labels is put in the place of another one.

    Raises:
        ConfigError: It holds something else.
    """
    for file in folder.rglob("*"):
        if not file.is_dir() and not _holds_labels(file):
            raise ConfigError(
                f"{folder} is there, and {file} is no file of labels; labels only replace a folder that holds "
                "nothing else. Give a folder that is not there yet."
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
