"""HTTP server that receives webhooks: fails, hangs, redirects and disconnects on request."""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Server:
    """Responds to each request with the next of `answers`, and with 200 after the last one."""

    def __init__(self, tls: Any = None) -> None:
        self.answers: list[Callable[[BaseHTTPRequestHandler], None]] = []
        self.requests: list[tuple[str, dict[str, str], bytes]] = []
        self.going = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {key.lower(): value for key, value in self.headers.items()}
                outer.requests.append((self.path, headers, body))
                (outer.answers.pop(0) if outer.answers else status(200))(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._server.going = self.going  # type: ignore[attr-defined]  # for its handlers
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.address = f"127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    @property
    def types(self) -> list[str]:
        return [json.loads(body)["type"] for _, _, body in self.requests]

    def close(self) -> None:
        self.going.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


def status(code: int, **headers: str) -> Callable[[BaseHTTPRequestHandler], None]:
    headers = {"Content-Length": "0"} | headers

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for key, value in headers.items():
            handler.send_header(key.replace("_", "-"), value)
        handler.end_headers()

    answer.__name__ = str(code)
    return answer


def break_off(handler: BaseHTTPRequestHandler) -> None:
    """Close the connection before the status."""
    handler.wfile.write(b"HTTP/1.1 2")
    handler.close_connection = True


def break_off_in_the_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nso f")
    handler.close_connection = True


def wait_until_set(event: threading.Event) -> None:
    event.wait(60)


def drip(part: bytes, pause_s: float, count: int) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with a few bytes at a time."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        outer_going = handler.server.going  # type: ignore[attr-defined]  # set by the fixture's server
        with contextlib.suppress(OSError):
            for _ in range(count):
                handler.wfile.write(part)
                outer_going.wait(pause_s)
        handler.close_connection = True

    return answer
