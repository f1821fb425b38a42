"""Sound over TCP connections on loopback and through a named pipe."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from soundwatch.daemon.capture import address_kinds, open_live_source, source_kind
from soundwatch.daemon.capture.microphones import open_microphone
from soundwatch.daemon.capture.monitoring import reconnect
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams import network
from soundwatch.daemon.capture.streams.connect import connect_fifo
from soundwatch.daemon.core.errors import ConfigError, SourceError, StallError
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.records.source import LiveSource, SourceStateChange
from support.network_sources import FORMAT, SOUND, collect_until_lost, connect, joined

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no named pipes in folders and no poll")


@contextlib.contextmanager
def open_writer(path: Path) -> Iterator[int]:
    """Open a named pipe that a source has opened, and close it at the end."""
    writer = os.open(path, os.O_WRONLY | os.O_NONBLOCK)
    yield writer
    os.close(writer)


class Server:
    """Server that sends the sound to each client and closes the connection."""

    def __init__(self) -> None:
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.address = f"pcm+tcp://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.serve, daemon=True)
        self.thread.start()

    def serve(self) -> None:
        while True:
            try:
                client, _ = self.socket.accept()
            except OSError:
                return
            with client:
                client.sendall(SOUND.tobytes())

    def close(self) -> None:
        self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()
        self.thread.join(10)


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server()
    yield found
    found.close()


def test_a_server_that_hangs_up_is_connected_to_again(server: Server) -> None:
    source = open_live_source("gate", server.address, pcm=FORMAT)
    blocks, changes = collect_until_lost(source, 2)
    assert [change.state for change in changes] == ["lost", "back", "lost"]
    assert "ended" in changes[0].detail
    assert source.info.description == server.address
    received = [block for block in blocks if block.samples.shape[1]]
    sound = SOUND.astype(np.float32) / 2**15
    np.testing.assert_array_equal(joined(received), np.concatenate([sound, sound], axis=1))
    assert sum(block.lost_samples > 0 for block in received) == 1


def test_a_server_that_is_not_there_is_an_error_or_is_waited_for(server: Server) -> None:
    server.close()
    with pytest.raises(SourceError, match="does not answer: Connection refused"):
        open_live_source("gate", server.address, wait=False)
    source = open_live_source("gate", server.address)
    waiting = next(iter(source.blocks()))
    assert isinstance(waiting, SourceStateChange)
    assert (waiting.state, waiting.reason) == ("waiting", "absent")
    source.stop()
    server.close = lambda: None  # type: ignore[method-assign]


def test_a_hundred_disconnects_leave_no_file_open(server: Server) -> None:
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("this system has no /proc/self/fd")
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(100):
        with pytest.raises(SourceError, match="ended"):
            list(connect(server.address).blocks())
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1, "the server may still hold one"


def test_a_connection_without_data_has_stalled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "FIRST_S", 0.2)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        source = connect(f"pcm+tcp://127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(StallError, match=r"has delivered nothing for 0\.2 s"):
            list(source.blocks())


def test_a_named_pipe_waits_for_its_next_writer(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "yard")
    source = open_live_source("gate", str(tmp_path / "yard"), pcm=FORMAT)
    writers = [threading.Thread(target=write_cut_short, args=(tmp_path / "yard",)) for _ in range(2)]
    remaining = iter(writers)
    next(remaining).start()
    blocks, changes = collect_until_lost(source, 2, lambda: next(remaining).start())
    for writer in writers:
        writer.join(30)
    assert [change.state for change in changes] == ["lost", "back", "lost"]
    assert "no program writes to it" in changes[0].detail
    assert joined(blocks).shape == (1, 2 * SOUND.shape[1])


@pytest.mark.parametrize(
    ("kind", "longest_s"),
    [("fifo", 0.25), ("udp", 0.25), ("tcp", 1.0), ("wyoming", 1.0), ("url", 5.0), ("microphone", 1.0)],
)
def test_the_pauses_between_attempts_are_those_of_the_kind_of_source(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str, longest_s: float
) -> None:
    os.mkfifo(tmp_path / "yard")
    pauses_s: list[float] = []
    source: LiveSource

    class Recorded(Backoff):
        def next_s(self) -> float:
            pauses_s.append(super().next_s())
            if len(pauses_s) == 8:
                source.stop()
            return 0.0

    def refuse(*_: object) -> NoReturn:
        raise SourceError("Nothing is there.")

    monkeypatch.setattr(network.NetworkSource, "__init__", refuse)
    monkeypatch.setattr(address_kinds, "open_wyoming", refuse)
    monkeypatch.setattr(open_microphone, "open_server_source", refuse)
    monkeypatch.setattr(reconnect, "Backoff", Recorded)
    devices = {"fifo": str(tmp_path / "yard"), "url": "rtsp://yard/1", "microphone": "pulse"}
    device = devices.get(kind, {"udp": "pcm+udp", "tcp": "pcm+tcp"}.get(kind, kind) + "://127.0.0.1:1")
    assert source_kind(device).name == kind
    source = open_live_source("gate", device)
    changes = [item for item in source.blocks() if isinstance(item, SourceStateChange)]
    assert [change.state for change in changes] == ["waiting"]
    assert (pauses_s[0], pauses_s[-1]) == (0.25, longest_s)


def write_cut_short(path: Path) -> None:
    """Send the sound and half of a further sample."""
    path.write_bytes(SOUND.tobytes() + b"\0")


@pytest.mark.parametrize(
    "address", ["pcm+tcp://127.0.0.1", "pcm+tcp://:99", "pcm+udp://127.0.0.1", "pcm+udp://127.0.0.1:99?x=1"]
)
def test_an_invalid_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError, match=r"is not a valid address; write pcm\+(tcp|udp)://HOST:PORT"):
        connect(address)


def test_other_devices_are_no_connections(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    for device in ("USB PnP", "pulse:yard", "-", "demo", "2", str(tmp_path / "a.wav"), str(tmp_path)):
        assert source_kind(device).encrypted is None


def pipe_source(path: Path) -> network.NetworkSource:
    return network.NetworkSource("a", str(path), lambda: connect_fifo(path), PcmFormat.parse(FORMAT))


def test_a_named_pipe_has_one_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of two readers would get a part of the sound, without a word."""
    monkeypatch.setattr(network, "REFUSED_POLLS", 1)
    os.mkfifo(tmp_path / "yard")
    os.link(tmp_path / "yard", tmp_path / "again")
    first = pipe_source(tmp_path / "yard")
    blocks = first.blocks()
    with open_writer(tmp_path / "yard") as writer:
        os.write(writer, SOUND.tobytes())
        next(blocks)
        with pytest.raises(SourceError, match="again is read by another source or program, and each reader"):
            list(pipe_source(tmp_path / "again").blocks())
        second = pipe_source(tmp_path / "again")
        first.stop()
        assert not list(blocks)
        os.write(writer, SOUND.tobytes())
        assert next(second.blocks()).samples.size


def test_a_named_pipe_goes_on_to_the_next_source_of_a_reload(tmp_path: Path) -> None:
    """Its writer would end if no source had the pipe open meanwhile, as between a refusal and the next attempt."""
    os.mkfifo(tmp_path / "yard")
    before = pipe_source(tmp_path / "yard")
    blocks = before.blocks()
    with open_writer(tmp_path / "yard") as writer:
        os.write(writer, SOUND.tobytes())
        next(blocks)
        connection, refusals = connect_fifo(tmp_path / "yard"), list[str | None]()

        def refusal() -> str | None:
            refusals.append(connection.refusal())
            if refusals[-1] is not None:
                before.stop()
                assert not list(blocks)
            return refusals[-1]

        opened = replace(connection, refusal=refusal)
        after = network.NetworkSource("a", "yard", lambda: opened, PcmFormat.parse(FORMAT)).blocks()
        assert os.write(writer, SOUND.tobytes()) == SOUND.nbytes
        assert next(after).samples.size
        assert [said is None for said in refusals] == [False, True]


@pytest.mark.parametrize("act", ["remove", "make", "write"])
def test_a_named_pipe_that_is_replaced_is_left(tmp_path: Path, act: str) -> None:
    """Programs that stream into a pipe often make it anew when they start."""
    path = tmp_path / "yard"
    os.mkfifo(path)
    source = network.NetworkSource("a", "yard", lambda: connect_fifo(path), PcmFormat.parse(FORMAT))
    path.unlink()
    if act == "make":
        os.mkfifo(path)
    elif act == "write":
        path.write_bytes(SOUND.tobytes())
    with pytest.raises(SourceError, match=r"^yard was removed or replaced"):
        list(source.blocks())
    if act == "write":
        with pytest.raises(SourceError, match="is no named pipe any more"):
            connect_fifo(path)
