"""The end of a source that is not used."""

from __future__ import annotations

import socket

from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.capture.monitoring.source_wrapper import close_unused


def test_the_connection_of_a_source_that_is_not_used_is_closed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(60)
        source = open_live_source("yard", f"pcm+tcp://127.0.0.1:{server.getsockname()[1]}", wait=False)
        accepted, _ = server.accept()
        with accepted:
            accepted.settimeout(60)
            close_unused(source)
            assert accepted.recv(1) == b""
        assert source.info.name == "yard"
