"""Follow the lines of a journal: from the socket of a running daemon, or else from the file.

Conventions: the socket also sends lines without a number, `scores` and `level`, which are in no file. The file is read
again every `POLL_S`.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Final

import msgspec

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.location import socket_path
from soundwatch.daemon.journal.queries.query import LineFilter, read_lines
from soundwatch.daemon.journal.store import JournalStore

POLL_S: Final = 0.2


class _Line(msgspec.Struct, rename={"class_": "class"}):
    """Part of a line that a filter needs."""

    type: str
    time: str
    seq: int | None = None
    source: str | None = None
    class_: str | None = None


def follow_lines(
    store: JournalStore,
    wanted: LineFilter,
    live_types: Collection[str] = (),
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[bytes]:
    """Yield the lines after `wanted.after_seq`, and then new ones, without end.

    Args:
        store: The journal.
        wanted: Conditions; of lines without a number only the source counts.
        live_types: Types of lines without a number to yield too, which needs a running daemon.
        wait: Waits until the file is read again.

    Raises:
        StoreError: With `live_types`, no daemon answers.
    """
    seq = wanted.after_seq
    while True:
        try:
            connection = _connect(Path(store.path))
        except StoreError:
            if live_types:
                raise
            for entry in read_lines(store, replace(wanted, after_seq=seq)):
                seq = entry.seq
                yield entry.line
            wait(POLL_S)
            continue
        with connection:
            for line, number in _receive(connection, seq):
                seq = number or seq
                if _matches(line, wanted, live_types):
                    yield line
        if live_types:  # the daemon has ended
            return
        wait(POLL_S)


def _connect(journal: Path) -> socket.socket:
    """Connect to the daemon that writes to a journal.

    Raises:
        StoreError: No daemon answers, or the system has no such sockets.
    """
    path = socket_path(journal)
    try:
        connection = socket.socket(socket.AF_UNIX)
    except (OSError, AttributeError) as error:
        raise StoreError(f"This system has no Unix sockets: {error}.") from error
    try:
        connection.connect(str(path))
    except OSError as error:
        connection.close()
        raise StoreError(
            f"Scores and levels come only from a running soundwatch, and none answers at {path}: {error}. Start "
            "one, or give its journal with --journal."
        ) from error
    return connection


def _receive(connection: socket.socket, after_seq: int) -> Iterator[tuple[bytes, int | None]]:
    """Yield lines and their numbers until the daemon closes the connection."""
    with contextlib.suppress(OSError):
        connection.sendall(msgspec.json.encode({"since": after_seq}) + b"\n")
        for line in connection.makefile("rb"):
            if line.endswith(b"\n"):
                yield line, msgspec.json.decode(line, type=_Line).seq


def _matches(encoded: bytes, wanted: LineFilter, live_types: Collection[str]) -> bool:
    line = msgspec.json.decode(encoded, type=_Line)
    if line.type == "bye" or (wanted.sources and line.source not in wanted.sources):
        return False
    if line.seq is None:
        return line.type in live_types
    if line.time < wanted.since or (wanted.until and line.time >= wanted.until):
        return False
    in_class = not wanted.classes or line.class_ in wanted.classes
    return in_class and (not wanted.types or line.type in wanted.types)
