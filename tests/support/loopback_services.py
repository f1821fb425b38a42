"""Everything that a daemon may be configured to reach, on loopback: a program of its own, run in a network namespace.

Usage: python loopback_services.py FOLDER. It prints "ready" when all ports answer, runs until its standard input ends,
and then prints a JSON object of what each service received. It makes the file FOLDER/all-used when each has something.

Conventions: the ports are fixed, since the namespace is its own. FOLDER/recording.wav is what it plays. A viewer opens
the page of the daemon as soon as that answers, and reads its WebSocket.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
import urllib.error
import urllib.request
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final

import soundfile
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from support.mosquitto import Mosquitto

HTTP_PORT: Final = 8001
MQTT_PORT: Final = 1883
PAGE_PORT: Final = 8433
LINES_PORT: Final = 9001
PCM_TCP_PORT: Final = 9002
PCM_UDP_PORT: Final = 9003
RATE_HZ: Final = 16_000
PACKET_S: Final = 0.02
SERVICES: Final = frozenset({"pcm+tcp", "page", "radio", "tcp", "viewer", "webhook"})
ALL_USED: Final = "all-used"


class _Web(BaseHTTPRequestHandler):
    """A receiver of webhooks, and a radio station."""

    received: Counter[str]
    recording: bytes

    def do_POST(self) -> None:
        """Accept a request."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.received["webhook"] += 1
        self.send_response(204)
        self.end_headers()

    def do_GET(self) -> None:
        """Send the recording."""
        self.received["radio"] += 1
        self.send_response(200)
        self.send_header("Content-Type", "audio/wav")
        self.send_header("Content-Length", str(len(self.recording)))
        self.end_headers()
        self.wfile.write(self.recording)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        """Log nothing."""


def main() -> None:
    """Serve until standard input ends."""
    folder = Path(sys.argv[1])
    samples, rate_hz = soundfile.read(folder / "recording.wav", dtype="int16")
    assert rate_hz == RATE_HZ
    received: Counter[str] = Counter()
    _Web.received, _Web.recording = received, (folder / "recording.wav").read_bytes()
    web = ThreadingHTTPServer(("127.0.0.1", HTTP_PORT), _Web)
    broker = Mosquitto(folder, MQTT_PORT)
    audio = socket.create_server(("127.0.0.1", PCM_TCP_PORT))
    services: tuple[Callable[[], object], ...] = (
        web.serve_forever,
        lambda: play_tcp(audio, samples.tobytes(), received),
        lambda: play_udp(samples.tobytes()),
        lambda: view(received),
        lambda: read_lines(received),
        lambda: mark_all_used(folder / ALL_USED, received),
    )
    for service in services:
        threading.Thread(target=service, daemon=True).start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    sys.stdin.read()
    broker.kill()
    sys.stdout.write(json.dumps(received))


def mark_all_used(path: Path, received: Counter[str]) -> None:
    """Make a file once every service has received something."""
    while not set(received) >= SERVICES:
        time.sleep(0.1)
    path.touch()


def play_tcp(server: socket.socket, sound: bytes, received: Counter[str]) -> None:
    """Play to each that connects, in real time."""
    while True:
        client, _ = server.accept()
        received["pcm+tcp"] += 1
        threading.Thread(target=_play, args=(sound, client.sendall), daemon=True).start()


def play_udp(sound: bytes) -> None:
    """Send datagrams in real time, with or without a receiver."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:

        def send(packet: bytes) -> None:
            sender.sendto(packet, ("127.0.0.1", PCM_UDP_PORT))

        while True:
            _play(sound, send)


def _play(sound: bytes, send: Callable[[bytes], object]) -> None:
    size = int(RATE_HZ * PACKET_S) * 2
    for start in range(0, len(sound) - size, size):
        try:
            send(sound[start : start + size])
        except OSError:
            return
        time.sleep(PACKET_S)


def view(received: Counter[str]) -> None:
    """Open the page and its streams as a browser does, once it answers."""
    base = f"127.0.0.1:{PAGE_PORT}"
    while True:
        try:
            for place in ("/", "/api/events", "/api/health", "/metrics"):
                with urllib.request.urlopen(f"http://{base}{place}", timeout=5) as answer:
                    received["page"] += bool(answer.read())
            with connect(f"ws://{base}/api/ws?scores=1&columns=1") as stream:
                for _ in stream:
                    received["viewer"] += 1
        except (OSError, WebSocketException):
            time.sleep(0.2)


def read_lines(received: Counter[str]) -> None:
    """Read the socket sink once it answers."""
    while True:
        try:
            with socket.create_connection(("127.0.0.1", LINES_PORT), 5) as client, client.makefile("rb") as lines:
                client.settimeout(None)
                for _ in lines:
                    received["tcp"] += 1
        except OSError:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
