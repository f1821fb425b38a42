"""Listening socket that limits connections when it accepts them, before their TLS handshake.

Conventions: a connection beyond a limit is closed unanswered, since an answer would need the handshake. Clients without
a limit of their own share the total.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Callable
from typing import Any, Final

from soundwatch.daemon.web.http.rate_limit import client_key

SHARE_OF_DESCRIPTORS: Final = 4  # one in four: files of sources, the journal and sinks need the others


def connections_within(max_connections: int) -> int:
    """Return a limit of connections, lowered where the process may open few file descriptors."""
    if sys.platform == "win32":
        return max_connections
    import resource

    descriptors, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = descriptors == resource.RLIM_INFINITY
    return max_connections if unlimited else max(1, min(max_connections, descriptors // SHARE_OF_DESCRIPTORS))


class LimitedListener(socket.socket):
    """A listening socket with limits on its open connections.

    Args:
        listener: Bound socket, which this one replaces.
        max_connections: Limit of all connections.
        max_of_client: Limit of one client's connections.
        is_exempt: Returns True for the address of a client without a limit of its own.
        on_refused: Called for each connection that is refused.
    """

    def __init__(
        self,
        listener: socket.socket,
        max_connections: int,
        max_of_client: int,
        is_exempt: Callable[[str], bool],
        on_refused: Callable[[], object],
    ) -> None:
        super().__init__(listener.family, listener.type, listener.proto, listener.detach())
        self._max_connections = max_connections
        self._max_of_client = max_of_client
        self._is_exempt = is_exempt
        self._on_refused = on_refused
        self._accepted: list[tuple[socket.socket, str]] = []

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept the next connection.

        Raises:
            ConnectionAbortedError: The connection was refused; an event loop then waits for the next one.
        """
        connection, address = super().accept()
        client = client_key(address[0])
        self._accepted = [(other, key) for other, key in self._accepted if other.fileno() != -1]  # -1: closed
        of_client = 0 if self._is_exempt(address[0]) else sum(key == client for _, key in self._accepted)
        if len(self._accepted) >= self._max_connections or of_client >= self._max_of_client:
            connection.close()
            self._on_refused()
            raise ConnectionAbortedError(f"{client} has too many connections.")
        self._accepted.append((connection, client))
        return connection, address
