"""A relay to a broker, which a test closes and opens."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

from support.ports import free_port


class Gate:
    """Lets connections through to a broker while it is open."""

    def __init__(self, inside_port: int) -> None:
        self.port = free_port()
        self._inside_port = inside_port
        self._server: socket.socket | None = None
        self._pairs: list[socket.socket] = []

    def open(self) -> None:
        """Let everybody through."""
        self._server = socket.create_server(("127.0.0.1", self.port))
        threading.Thread(target=self._accept, args=(self._server,), daemon=True).start()

    def shut(self) -> None:
        """Refuse new connections, and close the present ones."""
        server, self._server = self._server, None
        for pair in (server, *self._pairs):
            if pair is not None:
                with suppress(OSError):
                    pair.shutdown(socket.SHUT_RDWR)
                pair.close()
        self._pairs = []

    def _accept(self, server: socket.socket) -> None:
        with suppress(OSError):
            while True:
                outside, _ = server.accept()
                inside = socket.create_connection(("127.0.0.1", self._inside_port))
                self._pairs += [outside, inside]
                for one, other in ((outside, inside), (inside, outside)):
                    threading.Thread(target=_pass_on, args=(one, other), daemon=True).start()


def _pass_on(one: socket.socket, other: socket.socket) -> None:
    with suppress(OSError):
        while chunk := one.recv(65_536):
            other.sendall(chunk)
    with suppress(OSError):
        other.shutdown(socket.SHUT_RDWR)
