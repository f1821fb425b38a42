"""Requests of other sites and of forged hosts, and what a response may contain."""

from __future__ import annotations

import json

import httpx
import pytest
import websockets
from starlette.datastructures import Headers
from websockets.sync.client import connect
from websockets.typing import Origin

from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.web.http import middleware
from soundwatch.daemon.web.static_files import STATIC
from support.web_harness import IDS, Site, a_site

EVIL = "http://evil.example"


def test_a_strangers_name_for_our_address_is_refused(site: Site) -> None:
    """DNS rebinding: evil.example resolves to this server, so the browser lets its page read the response."""
    for host in (
        "evil.example",
        "evil.example:80",
        "127.0.0.1.evil.example",
        "localhost.evil.example",
        "",
        "[",
        "192.0.2.1",
    ):
        for path in ("/", "/api/events", "/metrics", "/static/main.js"):
            assert site.get(path, headers={"Host": host}).status_code in (400, 421), host
    assert site.get("/api/events", headers={"Host": "localhost:9000"}).status_code == 200, "through a tunnel"


def test_two_hosts_or_none_are_refused(site: Site) -> None:
    for head in (b"", b"Host: localhost\r\nHost: evil.example\r\n"):
        answer = site.raw(b"GET /api/events HTTP/1.1\r\n" + head + b"Connection: close\r\n\r\n")
        assert answer.split()[1] in (b"400", b"421")


@pytest.mark.parametrize(
    "origin", [EVIL, "null", "http://localhost.evil.example", "http://127.0.0.1:1", "https://", "x"]
)
def test_a_page_of_another_site_cannot_post_or_read(site: Site, origin: str) -> None:
    with site.client(headers={"Origin": origin}) as client:
        assert client.post("/api/sources/mic0/pause", json={}).status_code == 403
        assert client.post(f"/api/events/{IDS[1]}/label", json={"right": True}).status_code == 403
        assert client.delete(f"/api/events/{IDS[1]}/label").status_code == 403
        assert client.get("/api/stream").status_code == 403
        assert client.get("/api/events").status_code == 403
    assert site.switched == []


def test_a_page_of_another_site_cannot_embed_the_page(site: Site) -> None:
    for place in ("cross-site", "same-site"):
        for kind in ("script", "image", "empty", "iframe", "audio"):
            headers = {"Sec-Fetch-Site": place, "Sec-Fetch-Dest": kind}
            assert site.get("/api/events", headers=headers).status_code == 403
            assert site.get("/static/main.js", headers=headers).status_code == 403
        link = {"Sec-Fetch-Site": place, "Sec-Fetch-Dest": "document", "Sec-Fetch-Mode": "navigate"}
        assert site.get("/", headers=link).status_code == 200, "but it may link here"
        assert site.get("/api/events", headers=link).status_code == 403


def test_no_answer_lets_another_site_read_it(site: Site) -> None:
    for path in ("/", "/api/events", "/api/nothing", "/static/style.css", "/metrics"):
        assert not [name for name in site.get(path).headers if name.startswith("access-control")]


@pytest.mark.slow
def test_a_form_of_another_site_is_no_json(site: Site) -> None:
    """Requests that a page may send without a preflight: forms and plain text."""
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", ""):
        answer = httpx.post(
            f"{site.url}/api/events/{IDS[1]}/label",
            content=b'{"right":true}',
            headers={"Content-Type": kind},
            trust_env=False,
        )
        assert answer.status_code == 415


def test_another_sites_page_can_not_open_a_websocket(site: Site) -> None:
    for origin in (EVIL, "null", "http://localhost:1"):
        with pytest.raises(websockets.InvalidStatus) as refused, connect(site.websocket_url, origin=Origin(origin)):
            pass
        assert refused.value.response.status_code == 403
    with (
        pytest.raises(websockets.InvalidStatus),
        connect(site.websocket_url, additional_headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        pass
    with connect(site.websocket_url, origin=Origin(site.url)) as socket_:
        assert json.loads(socket_.recv())["type"] == "welcome"


def test_a_body_above_the_limit_is_refused_with_and_without_a_length(site: Site) -> None:
    path = f"/api/events/{IDS[1]}/label"
    body = b'{"right":true,"class":"' + b"x" * 10_000 + b'"}'
    with site.client(headers={"Content-Type": "application/json"}) as client:
        assert client.post(path, content=body).status_code == 413
        assert client.post(path, content=iter([body[:4000], body[4000:]])).status_code == 413, "in chunks, untold"
    assert site.get("/api/events", params={"text": "x" * 2000}).status_code == 400
    assert site.get("/api/events", headers={"X": "x" * 20_000}).status_code == 431


def test_a_path_can_not_leave_the_pages_folder(site: Site) -> None:
    for name in (
        "../server.py",
        "..%2fserver.py",
        "%2e%2e/server.py",
        "....//server.py",
        "/etc/passwd",
        "%2fetc%2fpasswd",
        "a%00.js",
    ):
        answer = site.raw(f"GET /static/{name} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
        assert answer.split()[1] in (b"404", b"400"), name
        assert b"import" not in answer


def test_every_response_has_security_headers(site: Site) -> None:
    for path in ("/", "/login", "/static/main.js", "/api/events", "/api/nothing", "/metrics"):
        headers = site.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert "server" not in headers


def test_no_page_has_inline_code_or_loads_from_another_host() -> None:
    pages = sorted(STATIC.glob("*.html"))
    assert len(pages) == 2
    for page in pages:
        text = page.read_text()
        assert "<style" not in text
        assert " style=" not in text
        assert " on" not in [part[:3] for part in text.split('="')]
        assert text.count("<script") == text.count('<script src="static/') + text.count(
            '<script type="module" src="static/'
        )
    for file in STATIC.iterdir():
        if file.suffix == ".png":
            continue
        text = file.read_text()
        assert "innerHTML" not in text
        assert "outerHTML" not in text
        assert "insertAdjacentHTML" not in text
        assert "eval(" not in text
        outside = text.replace("http://www.w3.org/2000/svg", "").replace('"https:"', "")
        assert "http://" not in outside, file
        assert "https://" not in outside, file


def test_an_internal_error_is_logged_and_not_sent(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken(StatusTracker):
        def __getattribute__(self, name: str) -> object:
            raise RuntimeError("an internal secret")

    with a_site() as ill:
        object.__setattr__(ill.view, "status", Broken())
        with ill.client() as client:
            answer = client.get("/api/health")
            assert client.get("/api/classes").status_code == 200, "the next one is answered"
    assert answer.status_code == 500
    assert answer.json() == {"error": "The request failed; the log has the reason."}
    assert ill.log.written == [("request_failed", {"path": "/api/health", "error": "RuntimeError: an internal secret"})]


@pytest.mark.parametrize("body", [b"", b"listen=0", b"{", b"[]", b'{"x":1}'])
def test_a_post_that_is_not_json_pauses_no_source(site: Site, body: bytes) -> None:
    before = list(site.switched)
    with site.client() as client:
        for type_ in ("application/x-www-form-urlencoded", "text/plain", "multipart/form-data; boundary=x", None):
            headers = {} if type_ is None else {"Content-Type": type_}
            answer = client.post("/api/sources/mic0/pause", content=body, headers=headers)
            assert answer.status_code == 415
        answer = client.post("/api/sources/mic0/pause", content=body, headers={"Content-Type": "application/json"})
        assert answer.status_code == 422
    assert site.switched == before


@pytest.mark.parametrize(
    ("header", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("203.0.113.9, 192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("192.0.2.1:4711", "192.0.2.1"),
        ("[2001:db8::1]:4711", "2001:db8::1"),
        ("[::ffff:192.0.2.1]:4711", "192.0.2.1"),
        ("2001:db8::1", "2001:db8::1"),
        ("unknown", None),
        ("[", None),
        ("", None),
    ],
)
def test_the_client_of_a_proxy_is_an_address_without_its_port(header: str, client: str | None) -> None:
    assert middleware._last_forwarded(Headers({"X-Forwarded-For": header})) == client
