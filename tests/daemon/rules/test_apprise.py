"""Apprise's services against local servers that check requests as each service documents them."""

from __future__ import annotations

import base64
import json
import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from apprise.plugins.discord import NotifyDiscord
from apprise.plugins.pushover import NotifyPushover
from apprise.plugins.telegram import NotifyTelegram

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.core.network.redact import redact_sink, redacted_config
from soundwatch.daemon.rules.apprise_target import AppriseOptions, AppriseSender, load_plugin, prepare_apprise
from soundwatch.daemon.rules.message import Message
from soundwatch.daemon.rules.sender import MessageRefusedError
from support.http_service import HttpService, ServiceAnswer, ServiceRequest, http_service
from support.memory_logger import MemoryLogger
from support.ports import free_port
from support.rule_lines import configured

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of modules that Apprise imports
BOT = "123456789:AAEhBOweik6ad9r_QXMENQjcrGbqCr4K-bc"
USER, APP = "u" * 30, "a" * 30
MESSAGE = Message("night", "siren", "siren at mic0", 1, b"{}\n")


def ntfy(request: ServiceRequest) -> ServiceAnswer:
    """docs.ntfy.sh/publish: JSON with topic and message at the root, an access token as bearer."""
    if request.headers.get("authorization") not in ("Bearer tk_good", f"Basic {_basic('u', 'good')}"):
        return ServiceAnswer(401, b'{"code":40101,"http":401,"error":"unauthorized"}')
    body = json.loads(request.body)
    if request.path != "/" or set(body) < {"topic", "message"}:
        return ServiceAnswer(404, b'{"code":40401,"http":404,"error":"page not found"}')
    return ServiceAnswer(200, json.dumps({"id": "x", "event": "message", "topic": body["topic"]}).encode())


def telegram(request: ServiceRequest) -> ServiceAnswer:
    """core.telegram.org/bots/api: /bot<token>/METHOD with chat_id and text."""
    if not request.path.startswith(f"/bot{BOT}/"):
        return ServiceAnswer(404, b'{"ok":false,"error_code":404,"description":"Not Found"}')
    return ServiceAnswer(200, b'{"ok":true,"result":{}}')


def discord(request: ServiceRequest) -> ServiceAnswer:
    """discord.com/developers, Execute Webhook: content or embeds; 204 without content."""
    if request.path.partition("?")[0] != "/api/webhooks/417429/good_token":
        return ServiceAnswer(401, b'{"message": "401: Unauthorized", "code": 0}')
    return ServiceAnswer(204, b"")


def pushover(request: ServiceRequest) -> ServiceAnswer:
    """pushover.net/api: user, token and message; a wrong token is 400 with status 0."""
    fields = _form(request)
    if (fields.get("token"), fields.get("user")) != (APP, USER) or not fields.get("message"):
        return ServiceAnswer(401, b'{"token":"invalid","errors":["application token is invalid"],"status":0}')
    return ServiceAnswer(200, b'{"status":1,"request":"e460545a8b333d0da2f3602aff3133d6"}')


SERVICES: dict[str, tuple[Callable[[ServiceRequest], ServiceAnswer], Callable[[HttpService, bool], str]]] = {
    "ntfy": (ntfy, lambda server, good: f"ntfy://{'tk_good' if good else 'tk_wrong'}@127.0.0.1:{server.port}/street"),
    "telegram": (telegram, lambda _, good: f"tgram://{BOT if good else BOT[:-2] + 'xx'}/12345"),
    "discord": (discord, lambda _, good: f"discord://417429/{'good' if good else 'wrong'}_token"),
    "pushover": (pushover, lambda _, good: f"pover://{USER}@{APP if good else 'b' * 30}"),
}


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def _form(request: ServiceRequest) -> dict[str, str]:
    if request.headers.get("content-type", "").startswith("application/json"):
        found: dict[str, str] = json.loads(request.body)
        return found
    return {key: values[0] for key, values in parse_qs(request.body.decode()).items()}


@pytest.fixture(params=SERVICES)
def served(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[HttpService, str, str]]:
    """A local server, and a good and a wrong address of the service; a service's fixed host is replaced."""
    answer, address = SERVICES[request.param]
    with http_service(answer) as server:
        monkeypatch.setattr(NotifyTelegram, "notify_url", f"{server.url}/bot")
        monkeypatch.setattr(NotifyDiscord, "notify_url", f"{server.url}/api/webhooks")
        monkeypatch.setattr(NotifyPushover, "notify_url", f"{server.url}/1/messages.json")
        for plugin in (NotifyTelegram, NotifyDiscord, NotifyPushover):
            monkeypatch.setattr(plugin, "request_rate_per_sec", 0)
        yield server, address(server, True), address(server, False)


def sender(url: str, log: MemoryLogger | None = None) -> AppriseSender:
    return AppriseSender(
        "apprise:test", Renewed(lambda: load_plugin("rules.r.then.send[0]", url), []), log or MemoryLogger()
    )


def test_a_message_arrives_as_the_service_documents_it(served: tuple[HttpService, str, str]) -> None:
    server, good, _ = served
    sender(good).send(MESSAGE)
    assert len(server.requests) == 1
    text = server.requests[0].body.decode()
    assert "siren at mic0" in text or "siren+at+mic0" in text


def test_a_wrong_token_is_tried_again_and_is_not_shown(served: tuple[HttpService, str, str]) -> None:
    _, _, wrong = served
    with pytest.raises(ConnectionError, match=r"the service answered 40[14]$"):
        sender(wrong).send(MESSAGE)


@pytest.mark.parametrize("status", [500, 503])
def test_a_service_that_fails_is_tried_again(served: tuple[HttpService, str, str], status: int) -> None:
    server, good, _ = served
    server.answer = lambda _: ServiceAnswer(status)
    with pytest.raises(ConnectionError, match=f"the service answered {status}"):
        sender(good).send(MESSAGE)


def test_a_message_that_is_refused_for_its_content_is_not_tried_again(served: tuple[HttpService, str, str]) -> None:
    server, good, _ = served
    server.answer = lambda _: ServiceAnswer(400)
    with pytest.raises(MessageRefusedError, match="the service answered 400"):
        sender(good).send(MESSAGE)


def test_too_many_requests_pause_the_sender_and_closing_ends_the_pause() -> None:
    answers = [ServiceAnswer(429, b'{"code":42901,"http":429}', {"Retry-After": "30"})]
    with http_service(lambda _: answers[0]) as server:
        limited = sender(f"ntfy://127.0.0.1:{server.port}/street")
        with pytest.raises(ConnectionError, match="the service answered 429"):
            limited.send(MESSAGE)
        assert limited.not_before_s - time.monotonic() > 20
        limited.close()
        with pytest.raises(InterruptedError):
            limited.send(MESSAGE)
        assert len(server.requests) == 1


def test_a_service_that_hangs_is_a_failure() -> None:
    with http_service(lambda _: ServiceAnswer(hangs_s=600)) as server:
        url = f"ntfy://127.0.0.1:{server.port}/street?rto=0.3"
        with pytest.raises(ConnectionError, match="did not answer in time"):
            sender(url).send(MESSAGE)


def test_a_service_that_is_off_is_a_failure() -> None:
    with pytest.raises(ConnectionError, match=r"^Connection refused$"):
        sender(f"ntfy://127.0.0.1:{free_port()}/street").send(MESSAGE)


def test_a_clip_is_attached(tmp_path: Path) -> None:
    clip = tmp_path / "1.flac"
    clip.write_bytes(b"fLaC sound")
    with http_service() as server:
        message = Message("night", "siren", "text", 1, b"{}\n", str(clip))
        sender(f"ntfy://127.0.0.1:{server.port}/street").send(message)
        assert any(b"fLaC sound" in request.body for request in server.requests)


@pytest.mark.parametrize("status", [400, 413, 415, 422])
def test_a_message_whose_clip_is_refused_is_sent_without_it_and_says_so(tmp_path: Path, status: int) -> None:
    clip = tmp_path / "1.flac"
    clip.write_bytes(b"fLaC sound")
    with http_service(lambda request: ServiceAnswer(status if b"fLaC" in request.body else 200)) as server:
        log = MemoryLogger()
        plugin = load_plugin("w", f"ntfy://127.0.0.1:{server.port}/street")
        plugin.request_rate_per_sec = 0  # Apprise waits 5.5 s before a second request
        AppriseSender("s", Renewed(lambda: plugin, []), log).send(replace(MESSAGE, clip_path=str(clip)))
        assert f"siren at mic0 (the service refused the clip with {status})" in server.requests[-1].body.decode()
        assert log.events == ["rule_clip_left_out"]


def test_a_service_that_takes_no_clips_gets_the_message_without_it(tmp_path: Path) -> None:
    clip = tmp_path / "1.flac"
    clip.write_bytes(b"fLaC sound")
    with http_service() as server:
        sender(f"gotify://127.0.0.1:{server.port}/token").send(replace(MESSAGE, clip_path=str(clip)))
        sender(f"ntfy://127.0.0.1:{server.port}/street").send(replace(MESSAGE, clip_path=str(tmp_path / "gone.flac")))
        first, second = [request.body.decode() for request in server.requests]
    assert "siren at mic0 (the service takes no clips)" in first
    assert "siren at mic0 (the clip is gone)" in second


def test_the_addresses_of_apprise_are_secret_everywhere(
    served: tuple[HttpService, str, str], capfd: pytest.CaptureFixture[str]
) -> None:
    server, good, _ = served
    server.answer = lambda _: ServiceAnswer(500)
    log = MemoryLogger()
    prepared = prepare_apprise("rules.r.then.send[0]", good, AppriseOptions(), log)
    with pytest.raises(ConnectionError) as raised:
        prepared.open().send(MESSAGE)
    config = configured(f"rules: {{r: {{then: {{send: ['apprise:{good}', {{sink: 'apprise:{good}'}}]}}}}}}")
    shown = f"{prepared.name} {raised.value} {redact_sink(f'apprise:{good}')} {redacted_config(config)} {log.written}"
    for secret in ("tk_good", BOT.partition(":")[2], "12345", "417429", "good_token", USER, APP):
        assert secret not in shown
    out, err = capfd.readouterr()
    assert (out, err) == ("", "")
    assert not logging.getLogger("apprise").propagate


def test_an_address_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with http_service() as server:
        url = f"ntfy://127.0.0.1:{server.port}/street"
        (tmp_path / "url").write_text(f"{url}\n")
        monkeypatch.setenv("NTFY_URL", url)
        for options in (AppriseOptions(url_file=str(tmp_path / "url")), AppriseOptions(url_env="NTFY_URL")):
            prepare_apprise("r", "", options, MemoryLogger()).open().send(MESSAGE)
        assert len(server.requests) == 2
    monkeypatch.setenv("NTFY_URL", "ntfy://host/\udcff")
    with pytest.raises(ConfigError, match="the variable NTFY_URL in the environment is not UTF-8") as raised:
        prepare_apprise("r", "", AppriseOptions(url_env="NTFY_URL"), MemoryLogger()).check()
    assert "host" not in str(raised.value)
    for missing in (AppriseOptions(url_file=str(tmp_path / "none")), AppriseOptions(url_env="NO_SUCH_URL")):
        with pytest.raises(SinkError, match=r"cannot be read|the environment has no NO_SUCH_URL"):
            prepare_apprise("r", "", missing, MemoryLogger()).check()


@pytest.mark.parametrize(
    ("url", "message"),
    [("ntfi://host/street", r"did you mean ntfy\?"), ("tgram://short/1", "has another form")],
)
def test_an_address_that_apprise_does_not_know_is_refused(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        load_plugin("rules.r.then.send[0]", url)
    assert "short" not in str(raised.value)
