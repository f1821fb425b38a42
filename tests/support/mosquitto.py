"""A real MQTT broker in its own folder, and a client that receives its messages."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from support.ports import free_port

PROGRAM = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
PATIENCE_S = 60.0
FIRST_LOOK_S, LONGEST_PAUSE_S = 0.005, 0.05  # a long wait takes little of the processor
KEEPS_ALL = "persistence true\nautosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n"


def wait_until(done: Callable[[], Any], what: str = "it") -> Any:
    """Wait for something to become true, and give it."""
    give_up_s, pause_s = time.monotonic() + PATIENCE_S, FIRST_LOOK_S
    while not (found := done()):
        assert time.monotonic() < give_up_s, f"timed out waiting for {what}"
        time.sleep(pause_s)
        pause_s = min(1.5 * pause_s, LONGEST_PAUSE_S)
    return found


class Mosquitto:
    """The broker. It writes each retained message to disk by default, so they survive a restart."""

    def __init__(
        self, folder: Path, port: int, settings: str = "allow_anonymous true\n", keeping: str = KEEPS_ALL
    ) -> None:
        self.port = port
        self.address = f"127.0.0.1:{port}"
        self._configuration = folder / "mosquitto.conf"
        self._configuration.write_text(
            f"listener {port} 127.0.0.1\nuser {os.environ.get('USER', 'root')}\n{settings}"
            f"persistence_location {folder}/\n{keeping}log_type error\n"
        )
        self.start()

    def start(self) -> None:
        """Start it, also again after it was ended."""
        assert PROGRAM is not None
        self._process = subprocess.Popen([PROGRAM, "-c", str(self._configuration)], stdin=subprocess.DEVNULL)
        wait_until(self._answers, "mosquitto")

    @property
    def pid(self) -> int:
        """Its process."""
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()
        self._process.wait(timeout=60)

    def end(self) -> None:
        """Stop the broker with SIGTERM; it writes its retained messages."""
        self._process.terminate()
        self._process.wait(timeout=60)

    def _answers(self) -> bool:
        assert self._process.poll() is None, f"mosquitto ended with {self._process.returncode}"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True


class OlderBroker:
    """A broker of MQTT 3.1.1 only: Mosquitto behind a relay that turns clients of MQTT 5 away.

    Args:
        port: Port of the broker behind it.
        refusal: Answer to a client of MQTT 5; none where the broker hangs up.
    """

    def __init__(self, port: int, refusal: bytes) -> None:
        self._port = port
        self._refusal = refusal
        self.refused = 0
        self._server = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
            except OSError:
                return
            hello = client.recv(65_536)
            if hello[hello.index(b"MQTT") + 4] > 4:
                self.refused += 1
                client.sendall(self._refusal)
                client.close()
                continue
            threading.Thread(target=self._relay_both, args=(client, hello), daemon=True).start()

    def _relay_both(self, client: socket.socket, hello: bytes) -> None:
        with client, socket.create_connection(("127.0.0.1", self._port)) as broker:
            broker.sendall(hello)
            back = threading.Thread(target=self._relay, args=(broker, client), daemon=True)
            back.start()
            self._relay(client, broker)
            back.join()

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while chunk := source.recv(65_536):
                target.sendall(chunk)
        for end in (source, target):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Accept no more clients."""
        self._server.close()


class SlowBroker(OlderBroker):
    """A broker of MQTT 3.1.1 whose answers come one after the other, each after a pause.

    Args:
        port: Port of the broker behind it.
        pause_s: Pause in seconds.
    """

    def __init__(self, port: int, pause_s: float) -> None:
        self._pause_s = pause_s
        super().__init__(port, refusal=b"\x20\x02\x00\x01")

    def _relay(self, source: socket.socket, target: socket.socket) -> None:
        if source.getpeername()[1] != self._port:
            super()._relay(source, target)
            return
        with contextlib.suppress(OSError):
            while chunk := source.recv(4):  # the size of an acknowledgement
                time.sleep(self._pause_s)
                target.sendall(chunk)


class Listener:
    """Client that receives all messages, and reconnects after an outage of the broker."""

    def __init__(self, port: int, credentials: tuple[str, str] | None = None) -> None:
        self.messages: list[tuple[str, bytes, bool]] = []
        self._counts: dict[str, int] = {}
        self.ready = threading.Event()
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
        if credentials is not None:
            client.username_pw_set(*credentials)
        client.reconnect_delay_set(1, 1)
        client.on_connect = lambda *_: client.subscribe("#") and None
        client.on_subscribe = lambda *_: self.ready.set()
        client.on_disconnect = lambda *_: self.ready.clear()
        client.on_message = self._take
        client.connect("127.0.0.1", port)
        client.loop_start()
        assert self.ready.wait(PATIENCE_S)

    def payloads(self, topic: str) -> list[bytes]:
        """Return all payloads of a topic, in order."""
        return [payload for where, payload, _ in list(self.messages) if where == topic]

    def count(self, topic: str) -> int:
        """Return the number of payloads of a topic."""
        return self._counts.get(topic, 0)

    def last(self, topic: str) -> bytes | None:
        """Return the last payload of a topic."""
        payloads = self.payloads(topic)
        return payloads[-1] if payloads else None

    def events(self, topic: str) -> list[dict[str, Any]]:
        """Return the payloads of a topic as JSON."""
        return [json.loads(payload) for payload in self.payloads(topic)]

    def publish(self, topic: str, payload: str | bytes, *, retain: bool = False) -> None:
        """Publish something."""
        self._client.publish(topic, payload, qos=1, retain=retain).wait_for_publish(PATIENCE_S)

    def publish_all(self, topic: str, payloads: Iterable[bytes]) -> None:
        """Publish many things without a wait for each; at most 1,000, more than which the broker would not keep."""
        for sent in [self._client.publish(topic, payload, qos=1) for payload in payloads]:
            sent.wait_for_publish(PATIENCE_S)

    def _take(self, _: object, __: object, message: paho.MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload), message.retain))
        self._counts[message.topic] = self.count(message.topic) + 1

    def close(self) -> None:
        """Leave."""
        self._client.disconnect()
        self._client.loop_stop()


def retained_messages(port: int) -> dict[str, bytes]:
    """Return the retained messages, as a new client receives them."""
    listener = Listener(port)
    listener.publish("end", "marker")
    wait_until(lambda: listener.payloads("end"), "the end of the retained messages")
    found = {topic: payload for topic, payload, retained in listener.messages if retained}
    listener.close()
    return found


@pytest.fixture
def mosquitto_folder() -> Iterator[Path]:
    """Provide a folder for a broker, or skip with the missing program."""
    if PROGRAM is None:
        pytest.skip("no broker without mosquitto")
    folder = Path(tempfile.mkdtemp(prefix="soundwatch-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def mosquitto(mosquitto_folder: Path) -> Iterator[Mosquitto]:
    """A broker that lets everybody in."""
    broker = Mosquitto(mosquitto_folder, free_port())
    yield broker
    broker.kill()


@pytest.fixture
def listener(mosquitto: Mosquitto) -> Iterator[Listener]:
    """Provide a client that receives all messages of the broker."""
    listening = Listener(mosquitto.port)
    yield listening
    listening.close()
