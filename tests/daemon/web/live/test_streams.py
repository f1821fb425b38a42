"""Live streams with real clients: no line is lost or repeated, and a slow client delays no other client."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import websockets
from websockets.sync.client import ClientConnection, connect

from soundwatch.daemon.journal.queries.deletion import delete_events
from soundwatch.daemon.web.http import timeouts
from soundwatch.daemon.web.live import broadcaster
from support.web_harness import NODE, Site, a_site, event_line, reading, wait_until


@pytest.fixture
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@contextmanager
def sse(site: Site, path: str = "/api/stream", **headers: str) -> Iterator[Iterator[dict[str, str]]]:
    """Return the events of a stream with their fields."""

    def read(lines: Iterator[str]) -> Iterator[dict[str, str]]:
        event: dict[str, str] = {}
        for line in lines:
            if line:
                key, _, value = line.partition(": ")
                event[key] = value
            else:
                yield event
                event = {}

    with site.client() as client, client.stream("GET", path, headers=headers) as answer:
        assert answer.status_code == 200
        assert answer.headers["content-type"].startswith("text/event-stream")
        yield read(answer.iter_lines())


def ws(site: Site, query: str = "") -> ClientConnection:
    return connect(f"{site.websocket_url}{query}", max_size=None, max_queue=None)


def next_of(socket_: ClientConnection, type_: str) -> dict[str, Any]:
    for text in socket_:
        message: dict[str, Any] = json.loads(text)
        if message["type"] == type_:
            return message
    raise AssertionError(f"no {type_}")


def test_a_stream_begins_with_the_next_line(site: Site) -> None:
    site.append(event_line(1))
    with sse(site) as events:
        welcome = next(events)
        assert welcome["event"] == "welcome"
        assert json.loads(welcome["data"])["seq"] == 1
        site.append(event_line(2))
        line = next(events)
        assert line["id"] == "2"
        assert json.loads(line["data"])["id"] == event_line(2).id


def test_a_returning_browser_gets_missed_lines_once(site: Site) -> None:
    site.append(*(event_line(number) for number in range(1, 4)))
    with sse(site, **{"Last-Event-ID": "1"}) as events:
        next(events)
        assert [next(events)["id"] for _ in range(2)] == ["2", "3"]
    site.append(*(event_line(number) for number in range(4, 6)))
    with sse(site, "/api/stream?since=3") as events:
        next(events)
        assert [next(events)["id"] for _ in range(2)] == ["4", "5"]


def test_a_thousand_lines_reach_reconnecting_clients_once_and_in_order(site: Site) -> None:
    done = threading.Event()

    def write() -> None:
        for start in range(0, 1000, 50):
            site.append(*(event_line(number) for number in range(start, start + 50)))
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    got: list[int] = []
    while len(got) < 1000:
        with ws(site, f"?since={got[-1] if got else 0}") as socket_:
            next_of(socket_, "welcome")
            got += [next_of(socket_, "start")["seq"] for _ in range(min(137, 1000 - len(got)))]
    writer.join()
    assert got == list(range(1, 1001))


def test_a_number_of_another_journal_is_reported_as_unknown(site: Site) -> None:
    site.append(event_line(1))
    with ws(site, "?since=500") as socket_:
        welcome = next_of(socket_, "welcome")
        assert (welcome["known"], welcome["seq"]) == (False, 1)
        site.append(event_line(2))
        assert next_of(socket_, "start")["seq"] == 2


def test_lines_that_the_journal_has_deleted_are_reported_as_lost(site: Site) -> None:
    site.append(*(event_line(number % 900) for number in range(1500)))  # more than are kept at hand
    site.journal.store.transaction(lambda db: db.execute("DELETE FROM lines WHERE seq <= 10"))
    with ws(site, "?since=2") as socket_:
        assert next_of(socket_, "lost")["lines"] == 8
        assert next_of(socket_, "start")["seq"] == 11


def test_lines_that_were_deleted_on_request_are_not_lost(site: Site) -> None:
    site.append(*(event_line(number) for number in range(1, 5)))
    delete_events(site.journal, [event_line(2).id, event_line(3).id], "by a test", "edge1", 0)
    with ws(site, "?since=1") as socket_:
        assert next_of(socket_, "welcome")["seq"] == 1
        assert json.loads(socket_.recv())["seq"] == 4


def test_scores_and_columns_are_sent_only_on_request(site: Site) -> None:
    live = site.view.live
    with ws(site) as plain, ws(site, "?scores=1&columns=1") as asking:
        assert next_of(asking, "welcome")["boot"] == next_of(plain, "welcome")["boot"]
        live.publish(reading(1, features_wanted=True))
        scores = next_of(asking, "scores")
        assert (scores["source"], scores["node"], scores["scores"]) == ("mic0", NODE, {"low": 0.75, "high": 0.25})
        assert next_of(asking, "columns")["bands"] == 16
        site.append(event_line(1))
        assert json.loads(plain.recv())["type"] == "start", "and nothing before it"


def test_every_kind_of_connection_names_the_same_run_of_the_program(site: Site) -> None:
    with ws(site) as socket_, sse(site) as events:
        boots = {next_of(socket_, "welcome")["boot"], json.loads(next(events)["data"])["boot"]}
    assert boots == {site.get("/api/health").json()["boot"]}


def test_without_clients_only_the_last_minute_is_kept(site: Site) -> None:
    live, journal = site.view.live, site.journal
    watchers = len(live._results) + len(live._results_with_features)
    with ws(site, "?columns=1") as socket_:
        next_of(socket_, "welcome")
        assert (len(live._levels), len(journal._readers)) == (1, 1)
    wait_until(lambda: len(journal._readers) == 0)
    assert (len(live._results) + len(live._results_with_features), len(live._levels)) == (watchers, 0)


def test_a_quiet_stream_sends_heartbeats(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "HEARTBEAT_S", 0.05)
    with ws(site) as socket_:
        assert next_of(socket_, "heartbeat")["seq"] == 0
    with sse(site) as events:
        next(events)
        assert next(events) == {"": "heartbeat"}


def test_the_number_of_streams_is_limited(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(broadcaster, "MAX_SUBSCRIBERS", 1)
    with ws(site) as first:
        next_of(first, "welcome")
        with ws(site) as second, pytest.raises(websockets.ConnectionClosed):
            second.recv()
        assert second.close_code == 1013
        assert second.close_reason == "too many streams are open"
        refused = site.get("/api/stream")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
    wait_until(lambda: len(site.view.journal._readers) == 0)
    with ws(site) as third:
        next_of(third, "welcome")


@pytest.mark.parametrize("path", ["/api/stream", "/api/sources/mic0/listen"])
def test_a_request_for_the_head_of_a_stream_opens_none(site: Site, path: str) -> None:
    with site.client() as client:
        answer = client.head(path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


def test_a_websocket_client_that_sends_a_message_is_disconnected(site: Site) -> None:
    with ws(site) as socket_:
        next_of(socket_, "welcome")
        socket_.send("hello?")
        with pytest.raises(websockets.ConnectionClosed):
            socket_.recv()
        assert socket_.close_code == 1008
    with ws(site) as socket_:
        next_of(socket_, "welcome")
        socket_.send("x" * 2000)
        with pytest.raises(websockets.ConnectionClosed):
            socket_.recv()
        assert socket_.close_code == 1009, "too big to be read at all"


def test_a_slow_subscriber_misses_windows_and_gets_their_count(site: Site) -> None:
    subscriber = broadcaster.Subscriber(0, scores=True, columns=False, level=False)
    for number in range(broadcaster.MAX_PENDING_WINDOWS + 5):
        subscriber.enqueue(broadcaster.Message("scores", str(number).encode()))
    assert (subscriber.missed, len(subscriber.pending)) == (5, broadcaster.MAX_PENDING_WINDOWS)
    assert subscriber.pending[0].data == b"5", "the latest are kept"


def begun(client: socket.socket, what: bytes) -> bytes:
    """Read the beginning of a stream up to a text, and return it: the client is one of the stream's readers then."""
    text = b""
    while what not in text:
        part = client.recv(256)
        assert part, text
        text += part
    return text


@pytest.mark.slow
def test_a_stalled_websocket_client_is_closed_with_a_reason(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    closed, close = threading.Event(), timeouts.TimeoutWebSocketProtocol._close_slow_client

    def note(connection: timeouts.TimeoutWebSocketProtocol) -> None:
        close(connection)
        closed.set()

    monkeypatch.setattr(timeouts, "WRITE_S", 0.2)
    monkeypatch.setattr(timeouts.TimeoutWebSocketProtocol, "_close_slow_client", note)
    site.append(*(event_line(number % 900, source="x" * 4000) for number in range(2500)))  # more than all buffers hold
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.settimeout(60)
        stalled.connect(site.address)
        stalled.sendall(
            b"GET /api/ws?since=0 HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        text = begun(stalled, b"welcome")
        with ws(site) as other:  # who reads is not held up by him
            next_of(other, "welcome")
            site.append(event_line(1))
            assert next_of(other, "start")["source"] == "mic0"
        assert closed.wait(60)
        while part := stalled.recv(65_536):
            text += part
    assert text.endswith(b"\x88\x0a" + (1013).to_bytes(2, "big") + b"too slow")
    wait_until(lambda: len(site.journal._readers) == 0)


@pytest.mark.slow
def test_a_stalled_http_reader_is_disconnected(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(timeouts, "WRITE_S", 0.2)
    site.append(*(event_line(number % 900, source="x" * 4000) for number in range(2500)))
    with socket.socket() as stalled:
        stalled.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        stalled.settimeout(60)
        stalled.connect(site.address)
        stalled.sendall(b"GET /api/stream?since=0 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        begun(stalled, b"welcome")
        wait_until(lambda: len(site.journal._readers) == 0)


def test_a_wrong_place_in_the_stream_is_refused(site: Site) -> None:
    assert site.get("/api/stream", headers={"Last-Event-ID": "x"}).status_code == 400
    assert site.get("/api/stream?since=-1").status_code == 400
    assert (
        site.get("/api/stream?sinse=1")
        .json()["error"]
        .startswith("sinse is not a parameter of this query; did you mean since?")
    )
    with pytest.raises(websockets.InvalidStatus) as refused, ws(site, "?since=x"):
        pass
    assert refused.value.response.status_code == 400


@pytest.mark.slow
def test_viewers_are_sent_away_when_the_program_ends() -> None:
    with contextlib.ExitStack() as clients:
        with a_site() as site:
            socket_ = clients.enter_context(ws(site))
            next_of(socket_, "welcome")
            events = clients.enter_context(sse(site))
            next(events)
        with pytest.raises(websockets.ConnectionClosed):
            socket_.recv()
        assert list(events) == []
