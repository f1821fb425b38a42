"""Unix and TCP sockets with several real readers: fast, late, and one that never reads."""

from __future__ import annotations

import json
import socket
import sqlite3
from collections.abc import Iterator

import numpy as np
import pytest

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.journal.entry import JournalEntry
from support.cli_runner import VALIDATOR
from support.level_factory import level_line
from support.line_client import PATIENCE_S, Client
from support.ports import free_port
from support.sink_harness import CLASSES, SinkHarness


class Place:
    """A TCP sink and its clients."""

    def __init__(self, harness: SinkHarness, options: str = "") -> None:
        self.address = ("127.0.0.1", free_port())
        self.worker = harness.open(f"tcp://127.0.0.1:{self.address[1]}{options}")
        self._clients: list[Client] = []

    def client(self) -> Client:
        self._clients.append(Client(self.address))
        return self._clients[-1]

    def known(self, harness: SinkHarness, *clients: Client) -> None:
        """Write lines until each of these clients has received one."""
        for client in clients:
            client.socket.settimeout(0.05)
            while True:
                harness.event("update", "known")
                try:
                    if client.socket.recv(1, socket.MSG_PEEK):
                        break
                except TimeoutError:
                    continue
            client.socket.settimeout(PATIENCE_S)

    def close(self) -> None:
        for client in self._clients:
            client.close()


@pytest.fixture
def place(harness: SinkHarness) -> Iterator[Place]:
    made = Place(harness)
    yield made
    made.close()


def until(client: Client, id_: str) -> list[int]:
    """Return the numbers of the lines up to that of an event."""
    seqs = []
    while (line := client.line())["id"] != id_:
        seqs.append(line["seq"])
    return [*seqs, line["seq"]]


@pytest.mark.slow
def test_every_reader_gets_all_lines_from_when_it_came(harness: SinkHarness, place: Place) -> None:
    harness.event("start", "before")
    harness.wait_for(place.worker)
    clients = [place.client() for _ in range(3)]
    place.known(harness, *clients)
    for number in range(200):
        harness.event("update", str(number))
    for client in clients:
        seqs = until(client, "199")
        assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "without holes"
        assert seqs[0] > 1


@pytest.mark.slow
def test_a_reader_can_request_earlier_lines(harness: SinkHarness, place: Place) -> None:
    for number in range(300):
        harness.event("update", str(number))
    harness.wait_for(place.worker)
    client = place.client()
    client.socket.sendall(b'{"since": 100}\n')
    assert until(client, "299") == list(range(101, 301))
    harness.event("start", "new")
    assert until(client, "new") == [301]


def test_earlier_lines_are_sent_before_the_first_sound(harness: SinkHarness) -> None:
    for _ in range(3):
        harness.event("update")
    harness.journal.flush()
    place = Place(harness)
    client = place.client()
    client.socket.sendall(b'{"since": 1}\n')
    assert [client.line()["seq"] for _ in range(2)] == [2, 3]
    place.close()


def test_a_reader_that_closes_its_side_gets_the_pending_lines(harness: SinkHarness, place: Place) -> None:
    for number in range(300):
        harness.event("update", str(number))
    harness.wait_for(place.worker)
    asking, silent = place.client(), place.client()
    asking.socket.sendall(b'{"since":0}')
    for client in (asking, silent):
        client.socket.shutdown(socket.SHUT_WR)
    assert [line["seq"] for line in asking.rest()] == list(range(1, 301))
    assert silent.rest() == []


@pytest.mark.slow
def test_a_reader_that_does_not_read_is_dropped_with_its_position(
    harness: SinkHarness, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.sockets.client.STALL_S", 0.2)
    monkeypatch.setattr("soundwatch.daemon.sinks.sockets.client.BYE_LIMIT_S", 60.0)
    slow = place.client()
    place.known(harness, slow)
    while "socket_client_disconnected" not in harness.logged():
        for _ in range(500):
            harness.event("update", "many")
        harness.wait_for(place.worker)
    lines = slow.rest()
    assert lines[-1]["type"] == "bye"
    VALIDATOR.validate(lines[-1])
    assert lines[-1]["reason"] == "slow"
    seqs = [line["seq"] for line in lines[:-1]]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert lines[-1]["last_seq"] == seqs[-1]
    again = place.client()
    again.socket.sendall(json.dumps({"since": seqs[-1]}).encode() + b"\n")
    assert again.line()["seq"] == seqs[-1] + 1


@pytest.mark.parametrize("message", [b"GET / HTTP/1.1\r\n\r\n", b'{"since": -1}\n', b'{"until": 3}\n', b"x" * 5000])
def test_a_reader_with_an_invalid_request_is_dropped_with_a_reason(
    harness: SinkHarness, place: Place, message: bytes
) -> None:
    client = place.client()
    client.socket.sendall(message)
    (bye,) = client.rest()
    assert (bye["type"], bye["reason"], bye["last_seq"]) == ("bye", "malformed", None)


def test_readers_above_the_limit_are_dropped_with_a_reason(
    harness: SinkHarness, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.sockets.server.MAX_CLIENTS", 2)
    first = place.client(), place.client()
    place.known(harness, *first)
    (bye,) = place.client().rest()
    assert bye["reason"] == "too_many_clients"


def test_readers_that_left_are_forgotten(harness: SinkHarness, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.sockets.server.MAX_CLIENTS", 3)
    for _ in range(20):
        client = place.client()
        place.known(harness, client)
        client.close()
        harness.event("update")
        harness.wait_for(place.worker)


def test_readers_get_pending_lines_when_the_daemon_stops(harness: SinkHarness) -> None:
    place = Place(harness)
    client = place.client()
    place.known(harness, client)
    harness.event("end", "last")
    harness.close()
    *lines, bye = client.rest()
    assert lines[-1]["id"] == "last"
    assert (bye["type"], bye["reason"], bye["last_seq"]) == ("bye", "stopped", lines[-1]["seq"])
    place.close()


def test_scores_are_sent_to_clients_that_request_them(harness: SinkHarness) -> None:
    place = Place(harness, ",scores=1")
    client = place.client()
    place.known(harness, client)
    harness.live.publish(
        WindowResult("mic0", 1_000_000_000, CLASSES, np.full(2, 0.5, np.float32), -30.0, 0, 1, 1.0, 0.0)
    )
    while (line := client.line())["type"] != "scores":
        assert line["type"] == "update"
    assert line["scores"] == {"dog_bark": 0.5, "siren": 0.5}
    place.close()


@pytest.mark.slow
def test_clients_are_served_again_after_an_error_of_the_journal(
    harness: SinkHarness, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, failures = harness.journal.read_after, [sqlite3.OperationalError("disk I/O error")] * 3

    def after(seq: int, limit: int = 500) -> list[JournalEntry]:
        if failures:
            raise failures.pop()
        return real(seq, limit)

    monkeypatch.setattr(harness.journal, "read_after", after)
    client = place.client()
    client.socket.sendall(b'{"since": 0}\n')
    for number in range(5):
        harness.event("update", str(number))
    assert until(client, "4") == [1, 2, 3, 4, 5]
    assert not failures


def test_levels_are_sent_to_clients_that_request_them(harness: SinkHarness) -> None:
    place = Place(harness, ",level=1")
    client = place.client()
    place.known(harness, client)
    harness.live.publish_level(level_line(-30.0))
    while (line := client.line())["type"] != "level":
        assert line["type"] == "update"
    assert (line["laeq_db"], line["calibrated"]) == (-30.0, False)
    place.close()
