"""Requests of the webhook sink: contents, keys, signatures, secrets and options."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest
from standardwebhooks import Webhook as StandardWebhook
from standardwebhooks import WebhookVerificationError

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.sinks.webhook.sink import idempotency_key
from support.sink_harness import SinkHarness
from support.webhook_server import Server, status

ROOT = Path(__file__).resolve().parents[4]


SECRET = "whsec_" + base64.b64encode(bytes(range(32))).decode()


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


@pytest.mark.parametrize("text", ["", "tk_123\nnotes", "tk 123", "tk_123€", "tk_123\x07x"])
def test_a_file_that_is_no_token_is_refused_without_its_content(
    harness: SinkHarness, tmp_path: Path, text: str
) -> None:
    (tmp_path / "token").write_text(text)
    with pytest.raises(ConfigError, match="holds no token") as refused:
        harness.open(f"webhook:http://host,token_file={tmp_path}/token")
    assert "tk" not in str(refused.value).partition("holds no token")[2].replace("token", "")


def test_a_user_name_and_a_password_in_the_address_are_sent_and_never_shown(
    harness: SinkHarness, server: Server
) -> None:
    server.answers.append(status(500))
    worker = harness.open(f"webhook:http://me:p%40ss%C3%A4@{server.address}/hook")
    harness.event("start")
    harness.wait_for(worker)
    path, headers, _ = server.requests[0]
    kind, _, pair = headers["authorization"].partition(" ")
    assert (path, kind, base64.b64decode(pair).decode()) == ("/hook", "Basic", "me:p@ssä")
    assert "p%40ss" not in repr(harness.log.written) + worker.status.name


def test_the_address_may_be_in_a_file(harness: SinkHarness, server: Server, tmp_path: Path) -> None:
    (tmp_path / "url").write_text(f"http://{server.address}/hook\n")
    worker = harness.open(f"webhook,url_file={tmp_path}/url")
    harness.event("start")
    harness.wait_for(worker)
    assert server.requests[0][0] == "/hook"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("webhook", "begin with https://"),
        ("webhook:ftp://host/x", "begin with https://"),
        ("webhook:https:///secret", "name a host"),
        ("webhook:https://host/x,types=strt", "did you mean start"),
        ("webhook:https://host/x\ny", "one line"),
        ("webhook:https://me:se@cret@host/secret", "Percent-encode"),
        ("webhook:https://me:50%@host/secret", "Percent-encode"),
        ("webhook:https://me:pw@host/x,token_file=t", "exclude each other"),
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
