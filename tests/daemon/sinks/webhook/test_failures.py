"""The webhook sink with a server that fails, hangs, refuses, redirects and disconnects."""

from __future__ import annotations

import json
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler
from typing import Any

import pytest

from soundwatch.daemon.sinks.webhook.sink import retry_after_s
from support.mosquitto import wait_until
from support.ports import free_port
from support.sink_harness import SinkHarness
from support.webhook_server import Server, break_off, break_off_in_the_body, drip, status, wait_until_set


@pytest.mark.slow
@pytest.mark.parametrize(
    "bad", [status(500), status(503), status(429), status(404), status(401), break_off], ids=lambda item: item.__name__
)
def test_a_temporary_failure_is_posted_again_with_a_mark(harness: SinkHarness, server: Server, bad: Any) -> None:
    server.answers += [bad, bad]
    worker = harness.open(f"webhook:http://{server.address}")
    harness.event("start")
    harness.event("end")
    harness.wait_for(worker)
    assert server.types == ["start", "start", "start", "end"]
    assert [json.loads(body).get("repeated") for _, _, body in server.requests] == [None, True, True, None]
    assert len({headers["webhook-id"] for _, headers, _ in server.requests}) == 2
    assert harness.logged() == ["sink_failed", "sink_recovered"]


def test_an_answer_that_breaks_off_after_its_status_is_one(harness: SinkHarness, server: Server) -> None:
    server.answers.append(break_off_in_the_body)
    worker = harness.open(f"webhook:http://{server.address}")
    harness.event("start")
    harness.event("end")
    harness.wait_for(worker)
    assert server.types == ["start", "end"]


@pytest.mark.parametrize("code", [400, 413, 422])
def test_a_permanent_failure_is_skipped_counted_and_logged(harness: SinkHarness, server: Server, code: int) -> None:
    server.answers.append(status(code))
    worker = harness.open(f"webhook:http://{server.address}")
    harness.event("start")
    harness.event("end")
    harness.wait_for(worker)
    assert server.types == ["start", "end"]
    (said, fields), *_ = harness.log.written
    assert said == "webhook_line_skipped"
    assert (fields["skipped_lines"], fields["id"], str(code) in fields["reason"]) == (1, "A", True)
    assert [status.skipped_lines for status, _ in harness.view.sinks()] == [1]


@pytest.mark.slow
def test_a_server_that_hangs_is_left_after_the_timeout(harness: SinkHarness, server: Server) -> None:
    server.answers.append(lambda _: wait_until_set(server.going))
    worker = harness.open(f"webhook:http://{server.address},timeout_s=0.3")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "timed out" in (worker.status.reason or "")
    harness.wait_for(worker)
    assert server.types == ["start", "start"]


@pytest.mark.slow
def test_a_server_that_is_not_there_is_waited_for(harness: SinkHarness) -> None:
    port = free_port()
    worker = harness.open(f"webhook:http://127.0.0.1:{port}/secret-path")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "refused" in (worker.status.reason or "")
    assert "secret-path" not in repr(harness.log.written) + worker.status.name


@pytest.mark.slow
def test_redirects_are_not_followed(harness: SinkHarness, server: Server) -> None:
    server.answers.append(status(302, Location=f"http://{server.address}/elsewhere"))
    worker = harness.open(f"webhook:http://{server.address}/here")
    harness.event("start")
    harness.wait_for(worker)
    assert {path for path, _, _ in server.requests} == {"/here"}
    assert "redirects are not followed" in harness.log.written[0][1]["reason"]


@pytest.mark.slow
def test_a_requested_delay_is_kept(harness: SinkHarness, server: Server) -> None:
    server.answers.append(status(429, Retry_After="3000"))
    worker = harness.open(f"webhook:http://{server.address}")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    harness.journal.flush()
    assert harness.dispatcher.close(1.0) == {worker.status.name: 1}, "it still waits"
    assert server.types == ["start"]


def test_retry_after_is_seconds_or_a_date_and_an_hour_at_most() -> None:
    assert retry_after_s(None, 0.0) == 0
    assert retry_after_s("120", 0.0) == 120
    assert retry_after_s("999999", 0.0) == 3600
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 10.0) == 50
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 GMT", 100.0) == 0
    assert retry_after_s("soon", 0.0) == 0
    assert retry_after_s("Thu, 01 Jan 1970 00:01:00 +99999999999999", 0.0) == 0


@pytest.mark.parametrize("where", ["status", "headers"])
def test_a_server_that_answers_byte_by_byte_is_left_at_the_deadline(
    harness: SinkHarness, server: Server, where: str
) -> None:
    head = b"" if where == "status" else b"HTTP/1.1 200 OK\r\nX-Slow: "

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(head)
        drip(b"H", 0.1, 10_000)(handler)

    server.answers.append(answer)
    worker = harness.open(f"webhook:http://{server.address},timeout_s=0.5")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "timed out" in (worker.status.reason or "")
    harness.wait_for(worker)
    assert server.types == ["start", "start"]


def test_2xx_counts_at_the_head_of_the_answer(harness: SinkHarness, server: Server) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        drip(b"x", 0.1, 10_000)(handler)

    server.answers += [answer, answer]
    worker = harness.open(f"webhook:http://{server.address},timeout_s=30")
    harness.event("start")
    harness.event("end")
    harness.wait_for(worker)
    assert server.types == ["start", "end"]
    assert harness.logged() == []


def test_a_server_of_another_protocol_is_named_as_one(harness: SinkHarness, server: Server) -> None:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.wfile.write(b"\x00\x00\x12\x04\x00\x1b[31m")
        handler.close_connection = True

    server.answers.append(answer)
    worker = harness.open(f"webhook:http://{server.address}")
    harness.event("start")
    harness.wait_for(worker)
    assert "does not answer as a web server does" in harness.log.written[0][1]["reason"]


def test_a_hanging_name_lookup_ends_at_the_deadline(harness: SinkHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    never = threading.Event()

    def hang(*_: object, **__: object) -> None:
        never.wait(60)
        raise socket.gaierror("the name server does not answer")

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    worker = harness.open("webhook:http://hangs.example,timeout_s=0.3")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "timed out" in (worker.status.reason or "")
    never.set()


def test_a_daemon_that_stops_does_not_wait_for_an_answer(server: Server) -> None:
    harness = SinkHarness()
    server.answers.append(lambda _: server.going.wait(600) and None)  # type: ignore[arg-type]
    worker = harness.open(f"webhook:http://{server.address},timeout_s=600")
    harness.event("start")
    wait_until(lambda: server.requests)
    harness.journal.flush()
    assert harness.dispatcher.close(0.1) == {worker.status.name: 1}
    harness.journal.close()


def test_lines_that_are_too_old_are_skipped_and_counted(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:http://{server.address},max_age_s=3600")
    young = harness.open(f"webhook:http://{server.address}/any,max_age_s=1e12")
    harness.event("start")
    harness.wait_for(worker)
    harness.wait_for(young)
    assert [path for path, _, _ in server.requests] == ["/any"]
    (skipped,) = harness.log.fields("webhook_line_skipped")
    assert (skipped["skipped_lines"], "older than 3600 s" in skipped["reason"]) == (1, True)


@pytest.mark.slow
def test_a_line_that_becomes_too_old_during_a_requested_delay_is_skipped(
    harness: SinkHarness, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    old_from_s: list[float] = []
    age_s = lambda *_: 3600.0 if old_from_s and time.monotonic() > old_from_s[0] else 0.0  # noqa: E731
    monkeypatch.setattr("soundwatch.daemon.sinks.webhook.sink._age_s", age_s)

    def answer(handler: BaseHTTPRequestHandler) -> None:
        old_from_s.append(time.monotonic() + 1.0)
        status(429, Retry_After="1")(handler)

    server.answers.append(answer)
    worker = harness.open(f"webhook:http://{server.address},max_age_s=600")
    harness.event("start")
    harness.wait_for(worker)
    assert server.types == ["start"]
    (skipped,) = harness.log.fields("webhook_line_skipped")
    assert "older than 600 s" in skipped["reason"]
