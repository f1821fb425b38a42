"""Clients that are slow, silent, too many, or that disconnect."""

from __future__ import annotations

import contextlib
import gc
import socket
import threading

import pytest

from soundwatch.daemon.web import server
from soundwatch.daemon.web.http import middleware, timeouts
from support.web_harness import IDS, Site, a_site, wait_until


def test_a_client_with_too_many_requests_gets_the_time_of_the_next_one(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(middleware, "REQUEST_BURST", 5)
    monkeypatch.setattr(middleware, "REQUEST_RATE_HZ", 0.5)
    with a_site() as slow, slow.client() as client:
        answers = [client.get("/api/health") for _ in range(7)]
    assert [answer.status_code for answer in answers] == [200] * 5 + [429] * 2
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 2


@pytest.mark.slow
def test_a_client_that_sends_nothing_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "REQUEST_S", 0.2)
    with a_site() as site:
        for begun in (b"", b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow:"):
            with socket.create_connection(site.address, timeout=60) as client:
                client.sendall(begun)
                with contextlib.suppress(ConnectionResetError):
                    assert client.recv(1) == b""


def test_a_client_that_sends_slowly_is_disconnected(monkeypatch: pytest.MonkeyPatch) -> None:
    request = b"GET /api/classes HTTP/1.1\r\nHost: localhost\r\n"
    with a_site() as site, socket.create_connection(site.address, timeout=60) as client:
        client.sendall(request + b"\r\n")
        assert client.recv(65_536).startswith(b"HTTP/1.1 200")
        monkeypatch.setattr(timeouts, "REQUEST_S", 0.3)  # from the head of the second request on
        client.sendall(request)
        with pytest.raises(OSError, match=r"reset|pipe"):
            say_a_little_now_and_then(client)


def say_a_little_now_and_then(client: socket.socket) -> None:
    for _ in range(200):
        client.sendall(b"X: y\r\n")
        threading.Event().wait(0.05)


def test_a_request_without_its_body_times_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "BODY_S", 0.2)
    with a_site() as site:
        head = f"POST /api/events/{IDS[1]}/label HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        answer = site.raw(f"{head}Content-Length: 14\r\nConnection: close\r\n\r\n{{".encode())
    assert answer.startswith(b"HTTP/1.1 408")


def test_a_client_that_disconnects_while_sending_is_not_logged(site: Site) -> None:
    before = list(site.log.written)
    head = f"POST /api/events/{IDS[1]}/label HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(site.address, timeout=60) as client:
        client.sendall(f"{head}Content-Length: 14\r\n\r\n{{".encode())
    assert site.get("/api/health").status_code == 200
    assert site.log.written == before


def answer_or_reset(client: socket.socket) -> bytes:
    """Read to the end of the connection; a reset counts as its end."""
    answer = b""
    with contextlib.suppress(ConnectionResetError):
        while part := client.recv(4096):
            answer += part
    return answer


def test_connections_beyond_the_limit_are_refused_with_one_log_line_and_later_ones_are_served(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(timeouts, "MAX_CONNECTIONS", 20)
    with a_site() as site:
        crowd = [socket.create_connection(site.address, timeout=60) for _ in range(30)]
        refused = crowd[timeouts.MAX_CONNECTIONS :]
        assert {answer_or_reset(client)[:12] for client in refused} <= {b"", b"HTTP/1.1 503"}
        assert [event for event, _ in site.log.written] == ["connections_refused"]
        for client in crowd:
            client.close()
        wait_until(lambda: site.get("/api/health").status_code == 200)


@pytest.mark.parametrize("limit", [64, 200])
def test_open_connections_leave_most_file_descriptors_of_a_process_that_has_few(
    monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    resource = pytest.importorskip("resource", reason="Windows has no such limit")
    monkeypatch.setattr(resource, "getrlimit", lambda _: (limit, limit))
    with a_site() as site, contextlib.ExitStack() as opened:
        crowd = [opened.enter_context(socket.create_connection(site.address, timeout=60)) for _ in range(limit // 2)]
        assert {answer_or_reset(client)[:12] for client in crowd[limit // 4 :]} <= {b"", b"HTTP/1.1 503"}
        assert [event for event, _ in site.log.written] == ["connections_refused"]


def test_one_client_cannot_take_all_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "is_loopback", lambda _: False)  # as clients of other machines
    monkeypatch.setattr(timeouts, "MAX_CLIENT_CONNECTIONS", 3)
    with a_site() as site:
        crowd = [socket.create_connection(site.address, timeout=60) for _ in range(5)]
        with socket.create_connection(site.address, timeout=60, source_address=("127.0.0.2", 0)) as other:
            assert [answer_or_reset(client)[:12] for client in crowd[3:]] == [b"HTTP/1.1 503"] * 2
            other.sendall(b"GET /api/health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            assert answer_or_reset(other).startswith(b"HTTP/1.1 200")
        for client in crowd:
            client.close()


@pytest.mark.slow
def test_connections_that_are_accepted_at_the_end_are_closed() -> None:
    held = list[socket.socket]()
    stopped = threading.Event()

    def connect(address: tuple[str, int]) -> None:
        while not stopped.is_set():
            with contextlib.suppress(OSError):
                held.append(socket.create_connection(address, timeout=60))

    with a_site() as site:
        connecting = threading.Thread(target=connect, args=(site.address,))
        connecting.start()
        wait_until(lambda: len(held) > 10)
    stopped.set()
    connecting.join()
    for client in held:
        client.close()
    gc.collect()  # a socket of the server that is not closed is a warning, and so an error of this test
