"""Limits on connections before their TLS handshake."""

from __future__ import annotations

import contextlib
import socket

import pytest

from soundwatch.daemon.web.http.limited_listener import LimitedListener, connections_within


def test_connections_are_refused_when_they_are_accepted_until_others_are_closed() -> None:
    refused, exempt = list[bool](), set[str]()
    bound = socket.create_server(("127.0.0.1", 0))
    with (
        LimitedListener(bound, 3, 2, exempt.__contains__, lambda: refused.append(True)) as listener,
        contextlib.ExitStack() as opened,
    ):

        def connect(client: str) -> socket.socket:
            opened.enter_context(socket.create_connection(listener.getsockname(), 60, (client, 0)))
            return opened.enter_context(listener.accept()[0])

        first, _ = connect("127.0.0.1"), connect("127.0.0.1")
        with pytest.raises(ConnectionAbortedError, match=r"127\.0\.0\.1 has too many"):
            connect("127.0.0.1")
        exempt.add("127.0.0.1")
        connect("127.0.0.1")
        with pytest.raises(ConnectionAbortedError):
            connect("127.0.0.2")
        first.close()
        connect("127.0.0.2")
        assert len(refused) == 2


@pytest.mark.parametrize(("descriptors", "connections"), [(64, 16), (256, 64), (1024, 100), (3, 1)])
def test_a_process_with_few_file_descriptors_has_fewer_connections(
    descriptors: int, connections: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (descriptors, descriptors))
    assert connections_within(100) == connections
