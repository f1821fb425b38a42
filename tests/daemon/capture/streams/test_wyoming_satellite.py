"""Sound of a satellite that the package `wyoming` itself serves."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from wyoming.event import Event
from wyoming.server import AsyncEventHandler, AsyncTcpServer

from soundwatch.daemon.capture import open_live_source, open_source
from soundwatch.daemon.capture.streams import connect, wyoming_satellite
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceStateChange
from support.fakes import tone
from support.ports import free_port

RATE_HZ = 16_000
SOUND = (tone(500, 0.5, RATE_HZ) * 32767).astype("<i2").tobytes()
CHUNK_BYTES = RATE_HZ // 50 * 2

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no poll")


class Satellite(AsyncEventHandler):
    """A satellite that streams once it is told to run, and asks for an answer in between."""

    answers: list[Event]
    closing: bool

    def __init__(self, answers: list[Event], closing: bool, *arguments: object) -> None:
        super().__init__(*arguments)  # type: ignore[arg-type]  # reader and writer
        self.answers = answers
        self.closing = closing

    async def handle_event(self, event: Event) -> bool:
        self.answers.append(event)
        if event.type != "run-satellite":
            return not self.closing  # after the answer to its question
        await self.write_event(Event("ping", {"text": "are you there"}))
        format_ = {"rate": RATE_HZ, "width": 2, "channels": 1}
        for start in range(0, len(SOUND), CHUNK_BYTES):
            await self.write_event(Event("audio-chunk", format_, SOUND[start : start + CHUNK_BYTES]))
        return True


@contextlib.contextmanager
def satellite(*, closing: bool = False) -> Iterator[tuple[str, list[Event]]]:
    """Serve a satellite; provide its address and what it received."""
    port, answers = free_port(), list[Event]()
    loop, server = asyncio.new_event_loop(), AsyncTcpServer("127.0.0.1", port)
    started, handlers = threading.Event(), list[Satellite]()

    def new_handler(*streams: object) -> Satellite:
        handlers.append(Satellite(answers, closing, *streams))
        return handlers[-1]

    async def serve() -> None:
        await server.start(new_handler)
        started.set()

    async def end() -> None:
        await server.stop()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        for handler in handlers:
            handler.writer.transport.abort()
        for _ in range(3):  # an aborted transport closes its socket in a later round of the loop
            await asyncio.sleep(0)

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    assert started.wait(60)
    try:
        yield f"wyoming://127.0.0.1:{port}", answers
    finally:
        asyncio.run_coroutine_threadsafe(end(), loop).result(60)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(60)
        loop.close()


@contextlib.contextmanager
def raw_service(sent: bytes) -> Iterator[str]:
    """Serve bytes to each client, and keep the connection open."""
    clients: list[socket.socket] = []

    def serve(server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = server.accept()
                clients.append(client)
                client.sendall(sent)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=serve, args=(server,), daemon=True).start()
        yield f"wyoming://127.0.0.1:{server.getsockname()[1]}"
    for client in clients:
        client.close()


def message(type_: str, payload: bytes = b"", **data: object) -> bytes:
    """Return one message as a service sends it."""
    head = {"type": type_, "data": data} | ({"payload_length": len(payload)} if payload else {})
    return json.dumps(head).encode() + b"\n" + payload


def test_the_sound_of_a_satellite_arrives_whole_in_its_own_format() -> None:
    with satellite() as (address, answers):
        source = open_source("hall", address, pcm="s24le,48000,2")
        assert (source.info.rate_hz, source.info.channels) == (RATE_HZ, 1)
        got: list[np.ndarray] = []
        for block in source.blocks():
            assert isinstance(block, Block)
            got.append(block.samples)
            if sum(part.shape[1] for part in got) == len(SOUND) // 2:
                source.stop()
        samples = np.concatenate(got, axis=1)[0]
        assert np.array_equal(samples, np.frombuffer(SOUND, "<i2").astype(np.float32) / 2**15)
        give_up_s = time.monotonic() + 60
        while [event.type for event in answers] != ["run-satellite", "pong"]:
            assert time.monotonic() < give_up_s
            time.sleep(0.01)
        assert answers[1].data["text"] == "are you there"


def test_a_satellite_that_goes_away_is_lost_and_connected_again() -> None:
    with satellite(closing=True) as (address, _):
        source = open_live_source("hall", address)
        states = list[str]()
        for item in source.blocks():
            if isinstance(item, SourceStateChange):
                states.append(item.state)
                if states.count("lost") == 2:
                    source.stop()
        assert states[:3] == ["lost", "back", "lost"]


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (b"", "closed the connection|sent no sound"),
        (message("audio-chunk", b"\0\0", rate=16000, width=5, channels=1), "unknown format"),
        (message("audio-chunk", b"\0\0", rate="fast", width=2, channels=1), "unknown format"),
        (message("audio-chunk", b"\0\0", width=2, channels=1), "unknown format"),
        (message("audio-chunk", b"\0\0", rate=1, width=2, channels=1), "unknown format"),
        (b'{"type": "audio-chunk", "payload_length": 99999999999}\n', "99999999999 bytes was announced"),
        (b'{"type": "describe", "data_length": 99999999999}\n', "99999999999 bytes was announced"),
        (b"x" * (wyoming_satellite.MAX_MESSAGE_BYTES + 1), "longer than"),
        (b"GET / HTTP/1.1\r\n\r\n", "closed the connection"),
        (b"[1, 2]\n", "a message is malformed"),
    ],
    ids=lambda value: value[:40] if isinstance(value, bytes) else "",
)
def test_a_service_that_sends_something_else_is_refused_with_a_reason(
    sent: bytes, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wyoming_satellite, "CONNECTING_S", 0.5)
    with raw_service(sent) as address, pytest.raises(SourceError, match=reason):
        open_source("hall", address)


def test_a_changed_format_is_a_loss_with_its_reason() -> None:
    sound = message("audio-chunk", b"\0" * 3200, rate=16000, width=2, channels=1)
    with raw_service(sound + message("audio-chunk", b"\0" * 3200, rate=8000, width=2, channels=1)) as address:
        source = open_source("hall", address)
        with pytest.raises(SourceError, match="its format changed"):
            collect(source.blocks)


def collect(blocks: Callable[[], Iterator[object]]) -> None:
    """Read all blocks."""
    for _ in blocks():
        pass


def test_an_address_without_a_port_is_refused() -> None:
    with pytest.raises(ConfigError, match="write wyoming://HOST:PORT"):
        open_source("hall", "wyoming://satellite.local")


def test_an_absent_satellite_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connect, "CONNECTING_S", 1.0)
    source = open_live_source("hall", f"wyoming://127.0.0.1:{free_port()}")
    first = next(iter(source.blocks()))
    assert isinstance(first, SourceStateChange)
    assert first.state == "waiting"
    assert "does not answer: Connection refused" in (first.detail or "")
    source.stop()


@pytest.mark.parametrize("scheme", ["wyoming", "pcm+tcp"])
def test_a_host_that_may_be_slow_is_connected_to_when_its_sound_is_read(scheme: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.setblocking(False)
        source = open_live_source("hall", f"{scheme}://127.0.0.1:{server.getsockname()[1]}")
        with pytest.raises(BlockingIOError):
            server.accept()
        reader = threading.Thread(target=lambda: list(source.blocks()), daemon=True)
        reader.start()
        server.settimeout(60)
        connected, _ = server.accept()
        source.stop()
        connected.close()
        reader.join(60)
        assert not reader.is_alive()


def test_a_satellite_with_too_few_channels_is_waited_for_with_what_to_set() -> None:
    format_ = {"rate": RATE_HZ, "width": 2, "channels": 1}
    with raw_service(message("audio-chunk", SOUND, **format_)) as url:
        source = open_live_source("hall", url, "right")
        first = next(iter(source.blocks()))
        source.stop()
        assert isinstance(first, SourceStateChange)
        assert "sends 1 channel, and `channels` needs 2. Use left or mix" in first.detail
        with pytest.raises(SourceError, match="sends 1 channel"):
            open_live_source("hall", url, "pair", wait=False)
