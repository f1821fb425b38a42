"""Addresses of the socket server: Unix sockets, ports, and those that are refused."""

from __future__ import annotations

import shutil
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError, SinkError
from support.line_client import Client
from support.mosquitto import wait_until
from support.ports import free_port
from support.sink_harness import SinkHarness


@pytest.fixture
def short_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
        yield Path(folder)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_whose_path_was_removed_is_made_again(short_folder: Path) -> None:
    harness, path = SinkHarness(), short_folder / "sock"
    worker = harness.open(f"unix:{path}")
    harness.event("start")
    harness.wait_for(worker)
    former = Client(str(path))
    former.socket.sendall(b'{"since": 0}\n')
    assert former.line()["type"] == "start"
    path.unlink()
    harness.event("end")
    harness.wait_for(worker)
    client = Client(str(path))
    client.socket.sendall(b'{"since": 0}\n')
    assert [client.line()["type"] for _ in range(2)] == ["start", "end"]
    assert former.line()["type"] == "end", "a reader that was connected stays"
    assert (worker.status.state, harness.log.events.count("socket_restored")) == ("working", 1)
    for each in (client, former):
        each.close()
    harness.close()
    assert not path.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_removed_folder_of_a_unix_socket_costs_no_client_a_line(
    short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.sockets.server.LOOK_S", 0.02)
    harness, folder = SinkHarness(), short_folder / "run"
    folder.mkdir()
    worker = harness.open(f"unix:{folder / 'sock'}")
    harness.event("start")
    harness.wait_for(worker)
    former = Client(str(folder / "sock"))
    former.socket.sendall(b'{"since": 0}\n')
    assert former.line()["seq"] == 1
    shutil.rmtree(folder)
    harness.event("update")
    assert former.line()["seq"] == 2, "a connected client does not need the path"
    assert "No such file or directory" in str(wait_until(lambda: worker.status.reason))
    folder.mkdir()
    wait_until(lambda: (folder / "sock").exists())
    harness.wait_for(worker)
    client = Client(str(folder / "sock"))
    client.socket.sendall(b'{"since": 0}\n')
    assert [client.line()["seq"] for _ in range(2)] == [1, 2]
    harness.event("end")
    assert [each.line()["seq"] for each in (former, client)] == [3, 3]
    for each in (client, former):
        each.close()
    harness.close()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_unix_socket_is_private_and_removed_with_the_daemon(short_folder: Path) -> None:
    path = short_folder / "events.sock"
    harness = SinkHarness()
    worker = harness.open(f"unix:{path}")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    harness.event("start")
    harness.wait_for(worker)
    client = Client(str(path))
    client.socket.sendall(b'{"since":0}\n')
    assert client.line()["seq"] == 1
    assert "another program's socket" in str(harness.open(f"unix:{path}").status.reason)
    harness.close()
    client.close()
    assert not path.exists()


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no Unix sockets")
def test_a_socket_that_was_left_behind_is_replaced_and_another_file_is_not(
    harness: SinkHarness, short_folder: Path
) -> None:
    path = short_folder / "events.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    harness.open(f"unix:{path}")
    Client(str(path)).close()
    file = short_folder / "file"
    file.write_text("mine")
    for other, reason in ((file, "is no socket"), (short_folder / "none" / "events.sock", "No such file or directory")):
        with pytest.raises(SinkError, match=reason):
            harness.prepare(f"unix:{other}").check()
        assert reason in str(harness.open(f"unix:{other}").status.reason)
    assert file.read_text() == "mine"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tcp://127.0.0.1", "tcp://127.0.0.1:PORT was expected"),
        ("tcp:7433", "tcp://127.0.0.1:PORT was expected"),
        ("tcp://127.0.0.1:x", "tcp://127.0.0.1:PORT was expected"),
        ("tcp://0.0.0.0:7433", "allow_remote=1"),
        ("unix", "unix:PATH was expected"),
        ("unix:/tmp/x,allow_remote=1", "allow_remote is no option of it"),
    ],
)
def test_an_impossible_value_is_refused(harness: SinkHarness, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        harness.open(text)
    assert message in str(refused.value)


def test_other_machines_may_read_only_with_an_option_and_a_warning(harness: SinkHarness) -> None:
    harness.open(f"tcp://0.0.0.0:{free_port()},allow_remote=1")
    assert harness.logged() == ["sink_reachable_from_network"]


def test_a_port_in_use_is_waited_for(harness: SinkHarness) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        worker = harness.open(f"tcp://127.0.0.1:{port}")
        assert "cannot be listened on" in str(worker.status.reason)
    wait_until(lambda: worker.status.state == "working")
    Client(("127.0.0.1", port)).close()
