"""The webhook sink with a real server that fails, hangs, refuses, redirects and disconnects."""

from __future__ import annotations

import base64
import contextlib
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import trustme
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.sinks.webhook import idempotency_key, retry_after_s
from soundwatch.daemon.sinks.webhook_templates import load_template, parse_time_zone, time_text
from support.mosquitto import wait_until
from support.ports import free_port
from support.sink_harness import SinkHarness

ROOT = Path(__file__).resolve().parents[3]
SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


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


@pytest.fixture
def server() -> Iterator[Server]:
    serving = Server()
    yield serving
    serving.close()


def test_start_and_end_are_posted_as_they_are(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:http://{server.address}/events?a=b")
    for type_ in ("start", "update", "end"):
        harness.event(type_)
    harness.wait_for(worker)
    assert server.types == ["start", "end"]
    path, headers, body = server.requests[0]
    assert (path, headers["content-type"]) == ("/events?a=b", "application/json")
    assert json.loads(body)["id"] == "A"
    assert [headers["webhook-id"] for _, headers, _ in server.requests] == ["A_start", "A_end"]
    assert [headers["idempotency-key"] for _, headers, _ in server.requests] == ["A_start", "A_end"]


def test_updates_of_one_event_have_ids_of_their_own(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:http://{server.address},types=update+hello")
    harness.hello()
    harness.event("update")
    harness.event("update")
    harness.wait_for(worker)
    ids = [headers["webhook-id"] for _, headers, _ in server.requests]
    assert len(set(ids)) == 3
    assert ids[1:] == ["A_update_2", "A_update_3"]


def test_every_message_of_a_rule_has_a_key_of_its_own() -> None:
    start = {"type": "start", "id": "A", "seq": 3, "time": "2026-11-26T00:00:00.000Z"}
    digest = start | {"type": "health", "id": None}
    messages = [
        start,
        start | {"rule": "bark", "merged": 1},
        start | {"rule": "dogs", "merged": 1},
        start | {"rule": "bark", "merged": 2},
        start | {"rule": "bark", "merged": 3},
        digest | {"rule": "day", "merged": 1},
        digest | {"rule": "week", "merged": 1},
    ]
    assert [idempotency_key(fields) for fields in messages] == [
        "A_start",
        "A_start_bark",
        "A_start_dogs",
        "A_start_bark_merged_2",
        "A_start_bark_merged_3",
        "2026-11-26T00:00:00.000Z_health_3_day",
        "2026-11-26T00:00:00.000Z_health_3_week",
    ]


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


@pytest.fixture
def secret_file(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    return path


def test_requests_are_signed_as_standard_webhooks_are(harness: SinkHarness, server: Server, secret_file: Path) -> None:
    worker = harness.open(f"webhook:http://{server.address},secret_file={secret_file}")
    harness.event("start")
    harness.wait_for(worker)
    _, headers, body = server.requests[0]
    assert StandardWebhook(SECRET).verify(body, headers)["class"] == "dog_bark"
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(SECRET).verify(body.replace(b"dog_bark", b"siren"), headers)
    with pytest.raises(WebhookVerificationError):
        StandardWebhook(SECRET).verify(body, headers | {"webhook-timestamp": "1000000000"})


def test_the_documented_signature_check_accepts_only_valid_requests(
    harness: SinkHarness, server: Server, secret_file: Path
) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/sinks.md").read_text(), re.S | re.M)
    (snippet,) = [block for block in blocks if "webhook-signature" in block]
    names: dict[str, Any] = {}
    exec(snippet, names)  # noqa: S102  # the documentation's own words
    is_genuine = names["is_genuine"]
    worker = harness.open(f"webhook:http://{server.address},secret_file={secret_file}")
    harness.event("start")
    harness.wait_for(worker)
    _, headers, body = server.requests[0]
    assert is_genuine(SECRET, headers, body)
    assert not is_genuine(SECRET, headers, body + b" ")
    assert not is_genuine(SECRET, headers | {"webhook-id": "B_start"}, body)
    assert not is_genuine(SECRET, headers | {"webhook-timestamp": "1000000000"}, body), "an old one sent again"
    assert not is_genuine("whsec_" + base64.b64encode(bytes(32)).decode(), headers, body)


def test_a_token_is_sent_and_never_shown(harness: SinkHarness, server: Server, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("tk_123\n")
    server.answers.append(status(500))
    worker = harness.open(f"webhook:http://{server.address},token_file={tmp_path}/token")
    harness.event("start")
    harness.wait_for(worker)
    assert server.requests[0][1]["authorization"] == "Bearer tk_123"
    assert "tk_123" not in repr(harness.log.written)


def test_the_address_may_be_in_a_file(harness: SinkHarness, server: Server, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"http://{server.address}/hook\n")
    worker = harness.open(f"webhook,url_file={tmp_path}/url")
    harness.event("start")
    harness.wait_for(worker)
    assert server.requests[0][0] == "/hook"


@pytest.mark.parametrize(
    ("template", "content_type", "body"),
    [
        (
            "slack",
            "application/json",
            {"text": 'dog bark at a&lt;b&gt;"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93'},
        ),
        (
            "discord",
            "application/json",
            {
                "content": 'dog bark at a<b>"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93',
                "allowed_mentions": {"parse": []},
            },
        ),
        ("ntfy", "text/plain; charset=utf-8", 'dog bark at a<b>"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93'),
    ],
)
def test_chat_services_get_a_sentence_for_each_start(
    server: Server, template: str, content_type: str, body: object
) -> None:
    source = 'a<b>"c"'
    harness = SinkHarness(sources=(source,))
    worker = harness.open(f"webhook:http://{server.address},template={template}")
    harness.event("start", source=source)
    harness.event("end", source=source)
    harness.wait_for(worker)
    ((_, headers, said),) = server.requests
    assert headers["content-type"] == content_type
    assert (json.loads(said) if isinstance(body, dict) else said.decode()) == body
    harness.close()


def test_a_template_of_ones_own_is_filled_in(server: Server, tmp_path: Path) -> None:
    source = 'a "b" \\ c'
    harness = SinkHarness(sources=(source,))
    (tmp_path / "own.json").write_text('{"what": "$sound", "where": "${source}", "cost": "$$1", "offset": "$offset"}')
    (tmp_path / "own.txt").write_text("$class $type")
    workers = [
        harness.open(f"webhook:http://{server.address}/{kind},template={tmp_path}/own.{kind}")
        for kind in ("json", "txt")
    ]
    harness.event("start", source=source)
    for worker in workers:
        harness.wait_for(worker)
    bodies = {path: body for path, _, body in server.requests}
    assert json.loads(bodies["/json"]) == {"what": "dog bark", "where": source, "cost": "$1", "offset": ""}
    assert bodies["/txt"] == b"dog_bark start"
    harness.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('{"a": "$clas"}', r"\$clas is no placeholder; did you mean \$class\?"),
        ('{"a": $class}', "makes no JSON"),
        ('{"a": "$ 5"}', "dollar sign"),
    ],
)
def test_a_template_that_cannot_work_is_refused(harness: SinkHarness, tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "own.json").write_text(words)
    with pytest.raises(ConfigError, match=message):
        harness.open(f"webhook:http://127.0.0.1,template={tmp_path}/own.json")


@pytest.mark.slow
def test_a_server_of_another_authority_is_not_trusted(harness: SinkHarness, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    server = Server(context)
    trusted = harness.open(f"webhook:https://{server.address}/a,ca={tmp_path}/ca.pem")
    wary = harness.open(f"webhook:https://{server.address}/b,ca={tmp_path}/stranger.pem")
    harness.event("start")
    harness.wait_for(trusted)
    wait_until(lambda: wary.status.state == "failing")
    assert "CERTIFICATE_VERIFY_FAILED" in (wary.status.reason or "")
    assert {path for path, _, _ in server.requests} == {"/a"}
    server.close()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webhook", "begin with https://"),
        ("webhook:ftp://host/x", "begin with https://"),
        ("webhook:https:///secret", "name a host"),
        ("webhook:https://host/x,types=strt", "did you mean start"),
    ],
)
def test_an_impossible_value_is_refused(harness: SinkHarness, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        harness.open(text)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


def test_an_invalid_secret_is_refused_with_the_command_that_makes_one(harness: SinkHarness, tmp_path: Path) -> None:
    for text in ("open sesame", "whsec_!!", "whsec_YWJj"):
        (tmp_path / "secret").write_text(text)
        with pytest.raises(ConfigError, match="openssl rand") as refused:
            harness.open(f"webhook:http://host,secret_file={tmp_path}/secret")
        assert text not in str(refused.value)
    with pytest.raises(ConfigError, match="none of json, slack, discord, ntfy, nor a file"):
        harness.open("webhook:http://host,template=teams")


def test_files_that_are_not_there_fail_the_sink_and_the_check(harness: SinkHarness, tmp_path: Path) -> None:
    for option in ("secret_file", "token_file", "url_file", "template", "ca"):
        text = f"webhook:http://{option}.invalid,{option}={tmp_path}/{option}.none"
        with pytest.raises(SinkError, match="No such file"):
            harness.prepare(text).check()
        assert "No such file" in str(harness.open(text).status.reason)


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


@pytest.mark.parametrize(
    ("now", "zone", "text"),
    [
        ("2026-11-22T09:00:00Z", "UTC", "08:15:02 UTC"),
        ("2026-11-23T00:00:00Z", "UTC", "2026-11-22 08:15:02 UTC"),
        ("2027-11-22T09:00:00Z", "UTC", "2026-11-22 08:15:02 UTC"),
        ("2026-11-22T09:00:00Z", "Europe/Berlin", "09:15:02 CET"),
        ("2026-11-22T09:00:00Z", "Asia/Kathmandu", "14:00:02 +0545"),
        ("2026-11-22T20:00:00Z", "Asia/Tokyo", "2026-11-22 17:15:02 JST"),
    ],
)
def test_times_for_people_have_a_zone_and_a_date_unless_it_is_todays(now: str, zone: str, text: str) -> None:
    local_now = datetime.fromisoformat(now).astimezone(parse_time_zone(zone))
    assert time_text("2026-11-22T08:15:02.418Z", local_now) == text


def test_a_time_zone_that_is_unknown_is_refused(harness: SinkHarness) -> None:
    for zone in ("Mars/Olympus", "../../etc/passwd", ""):
        with pytest.raises(ConfigError, match="is no time zone"):
            harness.open(f"webhook:http://127.0.0.1,time_zone={zone}")


def test_chat_templates_skip_events_that_continue_another() -> None:
    for name in ("slack", "discord", "ntfy"):
        assert load_template(name).omits({"type": "start", "continues": "A"})
        assert not load_template(name).omits({"type": "start", "continues": None})
    assert not load_template("json").omits({"type": "start", "continues": "A"})


def test_an_end_has_the_offset(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:http://{server.address},template=ntfy,types=end")
    harness.event("end")
    harness.wait_for(worker)
    assert server.requests[0][2].decode() == "dog bark at mic0 (edge1) ended 2026-11-22 08:15:02 UTC after 13.0 s"


def test_byte_order_marks_in_files_are_ignored(harness: SinkHarness, server: Server, tmp_path: Path) -> None:
    mark = "\ufeff"
    (tmp_path / "url").write_text(f"{mark}http://{server.address}/hook\r\n", "utf-8")
    (tmp_path / "token").write_text(f"{mark}tk_123\r\n", "utf-8")
    (tmp_path / "secret").write_text(f"{mark}{SECRET}\n", "utf-8")
    (tmp_path / "own.json").write_text(f'{mark}{{"what": "$sound"}}', "utf-8")
    options = ",".join(f"{key}_file={tmp_path}/{key}" for key in ("url", "token", "secret"))
    worker = harness.open(f"webhook,{options},template={tmp_path}/own.json")
    harness.event("start")
    harness.wait_for(worker)
    path, headers, body = server.requests[0]
    assert (path, headers["authorization"], json.loads(body)) == ("/hook", "Bearer tk_123", {"what": "dog bark"})
