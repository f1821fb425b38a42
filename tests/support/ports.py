"""Ports for servers that have to be told theirs before they are started.

Conventions: below those that the system gives to clients and to port 0, so that nothing takes one meanwhile; each
process of the tests begins at a place drawn by chance, and gives no port twice.
Rule: where a server can be asked for its port, bind port 0 instead.
"""

from __future__ import annotations

import itertools
import secrets
import socket

FIRST, PAST_LAST = 10_000, 32_000
_turns = itertools.count(secrets.randbelow(PAST_LAST - FIRST))


def free_port() -> int:
    """Return an unused port of 127.0.0.1, for TCP and UDP, that this process returns only once."""
    for turn in itertools.islice(_turns, PAST_LAST - FIRST):
        port = FIRST + turn % (PAST_LAST - FIRST)
        if _is_free(port, socket.SOCK_STREAM) and _is_free(port, socket.SOCK_DGRAM):
            return port
    raise AssertionError(f"no port is free between {FIRST} and {PAST_LAST}")


def _is_free(port: int, kind: socket.SocketKind) -> bool:
    with socket.socket(socket.AF_INET, kind) as probe:
        if kind is socket.SOCK_STREAM:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
