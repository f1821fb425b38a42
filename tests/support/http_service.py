"""A real HTTP server on a free port of this machine that records requests, and answers as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class ServiceRequest:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class ServiceAnswer:
    """One answer; `hangs_s` delays it."""

    status: int = 200
    body: bytes = b"{}"
    headers: dict[str, str] = field(default_factory=dict)
    hangs_s: float = 0.0


class HttpService:
    """A running server.

    Attributes:
        requests: Requests so far.
        answer: Returns the answer to a request.
        url: Address of the server.
    """

    def __init__(self, answer: Callable[[ServiceRequest], ServiceAnswer]) -> None:
        self.requests: list[ServiceRequest] = []
        self.answer = answer
        self._ending = threading.Event()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                headers = {key.lower(): value for key, value in self.headers.items()}
                request = ServiceRequest(self.command, self.path, headers, body)
                outer.requests.append(request)
                answer = outer.answer(request)
                outer._ending.wait(answer.hangs_s)
                self.send_response(answer.status)
                for key, value in answer.headers.items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)

            do_PUT = do_POST  # noqa: N815  # the server's name
            do_GET = do_POST  # noqa: N815

            def handle(self) -> None:
                try:
                    super().handle()
                except ConnectionError:  # the client has ended a hanging request
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,))
        self._thread.start()

    def close(self) -> None:
        """End the server."""
        self._ending.set()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def http_service(answer: Callable[[ServiceRequest], ServiceAnswer] | None = None) -> Iterator[HttpService]:
    """Run a server; without `answer`, each request is accepted."""
    service = HttpService(answer or (lambda _: ServiceAnswer()))
    try:
        yield service
    finally:
        service.close()
