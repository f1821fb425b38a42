"""Attacks on a real server."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websockets
from websockets.sync.client import connect
from websockets.typing import Origin

from soundwatch.daemon.status.snapshot import StatusTracker
from soundwatch.daemon.web import middleware, server, timeouts
from support.web_harness import IDS, Site, a_site, event_line, wait_until, write_token

TOKEN = "a-token-of-twenty-four-l"  # noqa: S105
EVIL = "http://evil.example"


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as site:
        site.append(event_line(1))
        yield site


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}") as site:
        yield site


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
        with pytest.raises(websockets.InvalidStatus) as refused, connect(_ws(site), origin=Origin(origin)):
            pass
        assert refused.value.response.status_code == 403
    with (
        pytest.raises(websockets.InvalidStatus),
        connect(_ws(site), additional_headers={"Sec-Fetch-Site": "cross-site"}),
    ):
        pass
    with connect(_ws(site), origin=Origin(site.url)) as socket_:
        assert json.loads(socket_.recv())["type"] == "welcome"


def test_without_the_token_no_data_is_sent(guarded: Site) -> None:
    for path in (
        "/api/events",
        "/api/config",
        "/api/openapi.json",
        "/metrics",
        "/api/stream",
        "/api/clips/x",
        "/nothing",
    ):
        answer = guarded.get(path)
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"] == "Bearer"
    with guarded.client() as client:
        assert client.post("/api/sources/mic0/pause", json={}).status_code == 401
    assert guarded.get("/").headers["location"] == "login"
    assert guarded.get("/login").status_code == 200
    with pytest.raises(websockets.InvalidStatus) as refused, connect(_ws(guarded)):
        pass
    assert refused.value.response.status_code == 401


def test_the_token_opens_by_header_and_only_whole(guarded: Site) -> None:
    for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        assert guarded.get("/api/events", headers={"Authorization": given}).status_code == 200
    for given in (TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x"):
        assert guarded.get("/api/events", headers={"Authorization": given}).status_code == 401
    with connect(_ws(guarded), additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket_:
        assert json.loads(socket_.recv())["type"] == "welcome"


def test_the_token_in_a_url_opens_nothing(guarded: Site) -> None:
    assert guarded.get("/api/events", params={"token": TOKEN}).status_code == 401
    assert guarded.get(f"/login?token={TOKEN}").status_code == 200
    assert guarded.get("/api/events").status_code == 401


def test_the_login_form_gives_a_cookie_that_scripts_and_other_sites_never_get(guarded: Site) -> None:
    with guarded.client() as client:
        wrong = client.post("/login", data={"token": TOKEN[:-1]})
        assert wrong.headers["location"] == "login?wrong"
        assert "set-cookie" not in wrong.headers
        answer = client.post("/login", data={"token": TOKEN})
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie
        assert TOKEN not in cookie
        assert client.get("/api/events").status_code == 200
        client.post("/logout")
        assert client.get("/api/events").status_code == 401


def test_a_logout_in_a_frame_deletes_the_cookie_with_the_attributes_of_the_login(tmp_path: Path) -> None:
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)},frame=https://home.example"
    with a_site(word) as site, site.client(headers={"X-Forwarded-Proto": "https"}) as client:
        logout = client.post("/logout", headers={"Authorization": f"Bearer {TOKEN}"})
        for answer in (client.post("/login", data={"token": TOKEN}), logout):
            assert {"SameSite=none", "Secure", "HttpOnly"} <= set(answer.headers["set-cookie"].split("; "))


def test_the_token_cannot_be_guessed_by_trying(guarded: Site) -> None:
    with guarded.client() as client:
        tries = [client.post("/login", data={"token": f"guess-number-{number:03d}-xxxx"}) for number in range(12)]
        assert [attempt.status_code for attempt in tries][-1] == 429
        assert client.post("/login", data={"token": TOKEN}).status_code == 429, "not even with the right one"


def test_a_form_of_another_site_cannot_log_in(guarded: Site) -> None:
    answer = httpx.post(f"{guarded.url}/login", data={"token": TOKEN}, headers={"Origin": EVIL}, trust_env=False)
    assert answer.status_code == 403


def test_the_token_is_not_in_the_log_or_a_response(guarded: Site) -> None:
    with guarded.client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        answers = [client.get(path) for path in ("/api/config", "/api/health", "/metrics", "/api/nothing")]
    assert not [answer for answer in answers if TOKEN in answer.text]
    assert TOKEN not in str(guarded.log.written)


def test_a_body_above_the_limit_is_refused_with_and_without_a_length(site: Site) -> None:
    path = f"/api/events/{IDS[1]}/label"
    body = b'{"right":true,"class":"' + b"x" * 10_000 + b'"}'
    with site.client(headers={"Content-Type": "application/json"}) as client:
        assert client.post(path, content=body).status_code == 413
        assert client.post(path, content=iter([body[:4000], body[4000:]])).status_code == 413, "in chunks, untold"
    assert site.get("/api/events", params={"text": "x" * 2000}).status_code == 400
    assert site.get("/api/events", headers={"X": "x" * 20_000}).status_code == 431


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
    static = Path(middleware.__file__).with_name("static")
    pages = sorted(static.glob("*.html"))
    assert len(pages) == 2
    for page in pages:
        text = page.read_text()
        assert "<style" not in text
        assert " style=" not in text
        assert " on" not in [part[:3] for part in text.split('="')]
        assert text.count("<script") == text.count('<script src="static/') + text.count(
            '<script type="module" src="static/'
        )
    for file in static.iterdir():
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


def test_only_the_configured_origins_may_frame_the_page() -> None:
    with a_site("http://127.0.0.1:0,frame=https://home.example https://other.example:8123") as site:
        framed = {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Dest": "iframe"}
        headers = site.get("/", headers=framed).headers
        assert (
            "frame-ancestors 'self' https://home.example https://other.example:8123"
            in (headers["content-security-policy"])
        )
        assert "x-frame-options" not in headers
        assert site.get("/api/health", headers=framed).status_code == 403
    with a_site() as site:
        assert site.get("/", headers=framed).status_code == 403


def test_the_page_of_the_named_proxy_may_send_requests_and_others_may_not() -> None:
    with a_site("http://127.0.0.1:0,host=home.example") as site, site.client() as client:
        for origin, status in (("https://home.example:8123", 202), ("https://evil.example", 403)):
            answer = client.post("/api/sources/mic0/pause", json={}, headers={"Origin": origin})
            assert answer.status_code == status


def test_a_proxy_that_checks_its_users_needs_no_token_and_others_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "is_loopback", lambda _: False)  # as a proxy on another machine
    with a_site("http://127.0.0.1:0,proxy=127.0.0.2 192.0.2.7") as site:
        transport = httpx.HTTPTransport(local_address="127.0.0.2")
        outside = {"Host": "homeassistant.local:8123", "X-Forwarded-Host": "homeassistant.local:8123"}
        with site.client(transport=transport) as proxy:
            assert proxy.get("/api/health", headers=outside).status_code == 200
            framed = {"Sec-Fetch-Site": "same-origin", "Sec-Fetch-Dest": "iframe"}
            page = proxy.get("/", headers=outside | framed)
            assert page.status_code == 200
            assert "frame-ancestors 'self';" in page.headers["content-security-policy"] + ";"
            for origin, status in (("https://homeassistant.local:8123", 202), ("https://evil.example", 403)):
                answer = proxy.post("/api/sources/mic0/pause", json={}, headers=outside | {"Origin": origin})
                assert answer.status_code == status
        answer = site.get("/api/health")
        assert (answer.status_code, answer.json()["error"]) == (
            403,
            "Only the proxy may send requests to this address.",
        )


def test_a_proxy_on_loopback_sends_a_known_host_so_that_no_site_can_use_its_address() -> None:
    with a_site("http://127.0.0.1:0,proxy=127.0.0.1,host=home.example") as site:
        rebound = {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"}
        assert site.get("/api/health", headers=rebound).status_code == 421
        assert site.get("/api/health", headers=rebound | {"X-Forwarded-Host": "evil.example"}).status_code == 421
        own = {"Host": "home.example", "Origin": "https://home.example", "Sec-Fetch-Site": "same-origin"}
        assert site.get("/api/health", headers=own).status_code == 200
        forged = own | {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
        assert site.get("/api/health", headers=forged).status_code == 403


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "null", "//", "http://a]b"])
def test_an_origin_that_is_none_is_refused(site: Site, origin: str) -> None:
    assert site.get("/api/health", headers={"Origin": origin}).status_code == 403


def test_with_a_token_others_than_the_proxy_need_it_and_cannot_claim_a_host(tmp_path: Path) -> None:
    with a_site(f"http://127.0.0.1:0,proxy=127.0.0.2,token_file={write_token(tmp_path, TOKEN)}") as site:
        assert site.get("/api/health").status_code == 401
        bearer = {"Authorization": f"Bearer {TOKEN}"}
        assert site.get("/api/health", headers=bearer).status_code == 200
        assert site.get("/api/health", headers=bearer | {"Host": "home.example"}).status_code == 421
        forged = bearer | {"Origin": "https://evil.example", "X-Forwarded-Host": "evil.example"}
        with site.client() as client:
            assert client.post("/api/sources/mic0/pause", json={}, headers=forged).status_code == 403


def test_two_servers_of_one_host_have_separate_cookies(tmp_path: Path) -> None:
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    with a_site(word) as one, a_site(word) as other, httpx.Client(trust_env=False) as client:
        for site in (one, other):
            client.post(f"{site.url}/login", data={"token": TOKEN})
        assert len(client.cookies) == 2
        client.post(f"{other.url}/logout")
        assert client.get(f"{one.url}/api/health").status_code == 200
        assert client.get(f"{other.url}/api/health").status_code == 401


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


def _ws(site: Site) -> str:
    return f"{site.url.replace('http', 'ws', 1)}/api/ws"
