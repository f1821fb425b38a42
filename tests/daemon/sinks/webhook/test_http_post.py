"""Answers of web servers, usual and odd, as the sink webhook reads them."""

from __future__ import annotations

import gc
import gzip
import ssl
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler

import pytest

from soundwatch.daemon.sinks.webhook.http_post import HttpPoster
from support.webhook_server import Server, drip

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # no address here is https
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>; rel=preload\r\n\r\n"
BOMB = gzip.compress(bytes(10_000_000))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


def raw(answer: bytes) -> Callable[[BaseHTTPRequestHandler], None]:
    """Answer with these bytes."""

    def write(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(answer)

    return write


def post_twice(server: Server, first_answer: bytes) -> tuple[int, int]:
    """Return the status of an answer that is sent as it is, and that of the request after it."""
    server.answers.append(raw(first_answer))
    poster = HttpPoster(f"http://{server.address}/hook", TLS, 30.0)
    statuses = [poster.post(b'{"type":"start"}', {}).status for _ in range(2)]
    poster.close()
    return statuses[0], statuses[1]


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (EARLY_HINTS + OK, 200),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n" + EARLY_HINTS + OK, 200),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\n\r\n", 101),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 10\r\n\r\n", 304),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\nConnection: close\r\n\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nlonger", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 7\r\n\r\nokHELLO", 200),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nno length\r\n", 200),
        (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n%s" % (len(BOMB), BOMB), 200),
    ],
)
def test_the_final_status_of_an_answer_is_read_whatever_comes_around_it(
    server: Server, answer: bytes, status: int
) -> None:
    assert post_twice(server, answer) == (status, 200)


@pytest.mark.parametrize(
    "body", [b"Content-Length: 99999\r\n\r\n" + bytes(99_999), b"Transfer-Encoding: chunked\r\n\r\nx\r\n"]
)
def test_an_answer_that_is_not_read_to_its_end_leaves_no_open_socket(server: Server, body: bytes) -> None:
    assert post_twice(server, b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + body) == (200, 200)
    gc.collect()  # a socket that nothing closed is an unraisable warning, which is an error here


def test_an_answer_without_an_end_leaves_no_thread(server: Server) -> None:
    former = set(threading.enumerate())

    def endless(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
        drip(b"x", 0.05, 10_000)(handler)

    server.answers.append(endless)
    poster = HttpPoster(f"http://{server.address}/hook", TLS, 30.0)
    assert poster.post(b'{"type":"start"}', {}).status == 200
    for thread in set(threading.enumerate()) - former:
        if thread.name == "webhook request":
            thread.join(60)
            assert not thread.is_alive()
    poster.close()


def test_informational_answers_without_a_final_one_are_none(server: Server) -> None:
    server.answers.append(drip(EARLY_HINTS, 0.05, 10_000))
    poster = HttpPoster(f"http://{server.address}/hook", TLS, 0.3)
    with pytest.raises(TimeoutError, match="no answer within"):
        poster.post(b'{"type":"start"}', {})
    poster.close()


@pytest.mark.parametrize(("location", "redirects"), [("file:///etc/passwd", True), (None, False)])
def test_only_an_answer_with_another_address_is_a_redirect(
    server: Server, location: str | None, redirects: bool
) -> None:
    where = "" if location is None else f"Location: {location}\r\n"
    server.answers.append(raw(f"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n{where}\r\n".encode()))
    poster = HttpPoster(f"http://{server.address}/hook", TLS, 30.0)
    assert poster.post(b'{"type":"start"}', {}).redirects is redirects
    poster.close()
