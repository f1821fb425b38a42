"""A reverse proxy that serves a server under a path, with or without WebSockets, and a page that frames another."""

from __future__ import annotations

import http.server
import re
import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def reverse_proxy(
    address: tuple[str, int],
    prefix: str,
    *,
    upgrades: bool,
    buffers: bool = False,
    own_address: str = "127.0.0.1",
    headers: bytes = b"",
    login: bytes = b"",
) -> Iterator[str]:
    """Serve `address` under a path, one request per connection; without upgrades, no WebSocket connects.

    Args:
        address: Address of the server.
        prefix: Path, without a slash at its end.
        upgrades: Whether WebSockets connect.
        buffers: Whether a response is passed on only when it is complete, which a stream never is.
        own_address: Address from which the proxy connects.
        headers: Headers that the proxy adds, each with a line break before it.
        login: Header that a request needs, in small letters; others get 401. Empty where the proxy checks nobody.

    Yields:
        The URL of the proxy.
    """

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            head = b""
            while b"\r\n\r\n" not in head:
                if not (part := self.request.recv(65_536)):
                    return
                head += part
            head, _, body = head.partition(b"\r\n\r\n")
            method, path, rest = head.split(b" ", 2)
            if not path.startswith(prefix.encode() + b"/"):
                self.request.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if login not in rest.lower():
                self.request.sendall(b"HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            if not (upgrades and b"upgrade: websocket" in rest.lower()):
                rest = re.sub(rb"\r\n(?i:connection|upgrade|sec-websocket-[a-z]+): [^\r]*", b"", rest)
                rest += b"\r\nConnection: close"
            head = b" ".join((method, path.removeprefix(prefix.encode()), rest + headers))
            with socket.create_connection(address, source_address=(own_address, 0)) as server:
                server.sendall(head + b"\r\n\r\n" + body)
                up = threading.Thread(target=copy, args=(self.request, server), daemon=True)
                up.start()
                copy(server, self.request, whole=buffers)

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


@contextmanager
def frame_page(url: str, port: int = 0) -> Iterator[str]:
    """Serve a page that frames `url`.

    Yields:
        The URL of the page.
    """

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = (
                f'<!doctype html><title>frame</title><iframe src="{url}/" width="900" height="600"></iframe>'.encode()
            )
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Write no access log."""

    with Server(("127.0.0.1", port), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


class Server(socketserver.ThreadingTCPServer):
    """A server with a thread per connection."""

    daemon_threads = True
    allow_reuse_address = True
    block_on_close = False


def copy(source: socket.socket, target: socket.socket, *, whole: bool = False) -> None:
    """Copy bytes until either side ends, each part at once or all of them at the end; then end both."""
    held = b""
    with suppress(OSError):
        while part := source.recv(65_536):
            if whole:
                held += part
            else:
                target.sendall(part)
        target.sendall(held)
    for end in (source, target):
        with suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
