"""Lines of a running soundwatch as they come, what is heard just now included, over the socket beside its journal."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import msgspec

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.location import socket_path
from soundwatch.daemon.journal.query import LineFilter


class _Line(msgspec.Struct, rename={"class_": "class"}):
    """What is asked of a line."""

    type: str
    source: str | None = None
    class_: str | None = None


def follow_socket(journal: Path, after_seq: int, wanted: LineFilter) -> Iterator[bytes]:
    """Those that are wanted, and `scores` lines, until the program ends.

    Args:
        journal: Its file.
        after_seq: Number of the last line that is known.
        wanted: Which sources, classes and types; `scores` have no class.

    Raises:
        StoreError: No program writes to that journal, or it has no socket.
    """
    path = socket_path(journal)
    try:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
    except (OSError, AttributeError) as error:
        raise StoreError(
            f"Scores are heard only from a soundwatch that runs, and none answers at {path}: {error}. Start it, or "
            "give its journal with --journal."
        ) from error
    with connection:
        connection.sendall(msgspec.json.encode({"since": after_seq}) + b"\n")
        for line in connection.makefile("rb"):
            if _is_wanted(msgspec.json.decode(line, type=_Line), wanted):
                yield line


def _is_wanted(line: _Line, wanted: LineFilter) -> bool:
    if line.type == "bye" or (wanted.sources and line.source not in wanted.sources):
        return False
    if line.type == "scores":
        return True
    in_class = not wanted.classes or line.class_ in wanted.classes
    return in_class and (not wanted.types or line.type in wanted.types)
