"""The doctor's check of sources that are fetched from an address."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path

from soundwatch.daemon.app.detached_view import detached_view
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput
from soundwatch.daemon.diagnostics.doctor.stream_checks import check_streams


def checked(sources: dict[str, SourceConfig], *, listens: bool = True) -> list[tuple[str, str]]:
    case = CheckInput(Config(sources=sources), None, Path("config.yaml"), listens=listens, view=detached_view)
    return [(finding.state, finding.seen) for finding in check_streams(case)]


def test_a_source_of_an_address_has_to_deliver_sound() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

        def send() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(ConnectionError):  # sound was left unread
                connection.sendall(bytes(32_000))
                connection.recv(1)  # the end of the reader

        sender = threading.Thread(target=send)
        sender.start()
        source = SourceConfig(device=f"pcm+tcp://127.0.0.1:{port}", pcm="s16le,16000,1")
        assert checked({"yard": source}) == [("ok", f"source yard: pcm+tcp://127.0.0.1:{port} delivers sound")]
        sender.join(60)
    ((state, seen),) = checked({"yard": source})
    assert (state, "does not answer" in seen) == ("fault", True)
    assert checked({"yard": source}, listens=False) == []


def test_a_faulty_setting_of_a_source_is_a_finding_and_other_kinds_are_left_alone() -> None:
    sources = {
        "radio": SourceConfig(device="https://127.0.0.1:1/live", certificate="/nowhere.pem"),
        "shed": SourceConfig(device="pcm+udp://127.0.0.1:1"),
        "demo": SourceConfig(device="demo"),
    }
    ((state, seen),) = checked(sources)
    assert state == "fault"
    assert seen.startswith("source radio: certificate is '/nowhere.pem', which is no file of certificates")
