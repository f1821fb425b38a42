"""Limit on the time of a database server that hangs.

Conventions: the server limits its statements itself; one that is frozen, or whose disk hangs, does not. The kernel of
such a machine still acknowledges packets, so no option of TCP notices. The connection is then shut down, so that the
thread that waits for an answer gets an error.
Does not: limit the time to connect, which libpq does.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import sqlalchemy as sql

CHECK_S: Final = 1.0


class ServerDeadline:
    """Limit on the time of the statements of one engine, which one thread uses.

    Args:
        engine: The engine.
        limit_s: Longest time of a transaction.

    Attributes:
        limit_s: Longest time of a transaction, also of the one that is under way.
    """

    def __init__(self, engine: sql.Engine, limit_s: float) -> None:
        self.limit_s = limit_s
        self._connection: Any = None
        self._since_s: float | None = None
        self._closed = threading.Event()
        sql.event.listen(engine, "connect", self._note_connection)
        threading.Thread(target=self._watch, name="database deadline", daemon=True).start()

    @contextmanager
    def limited(self) -> Iterator[None]:
        """Limit the time of this context."""
        self._since_s = time.monotonic()
        try:
            yield
        finally:
            self._since_s = None

    def close(self) -> None:
        """End the limit."""
        self._closed.set()

    def _note_connection(self, connection: Any, _: object) -> None:
        self._connection = connection

    def _watch(self) -> None:
        while not self._closed.wait(CHECK_S):
            since_s = self._since_s
            if since_s is not None and time.monotonic() - since_s > self.limit_s:
                self._shut_down()

    def _shut_down(self) -> None:
        connection = self._connection
        if connection is None or connection.closed:
            return
        # Any error of the driver or the system means that the connection was closed at this moment.
        with contextlib.suppress(Exception), socket.socket(fileno=os.dup(connection.fileno())) as copy:
            copy.shutdown(socket.SHUT_RDWR)
