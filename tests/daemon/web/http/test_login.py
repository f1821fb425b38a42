"""The token: requests without one, login, logout and cookies."""

from __future__ import annotations

import json
import time
from pathlib import Path

import httpx
import pytest
import websockets
from websockets.sync.client import connect

from soundwatch.daemon.web.http.session import cookie_name, cookie_value
from support.web_harness import TOKEN, Site, a_site, write_token


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
    with pytest.raises(websockets.InvalidStatus) as refused, connect(guarded.websocket_url):
        pass
    assert refused.value.response.status_code == 401


def test_the_token_opens_by_header_and_only_whole(guarded: Site) -> None:
    for given in (f"Bearer {TOKEN}", f"bearer {TOKEN}"):
        assert guarded.get("/api/events", headers={"Authorization": given}).status_code == 200
    for given in (TOKEN, f"Basic {TOKEN}", "Bearer", f"Bearer {TOKEN[:-1]}", f"Bearer {TOKEN}x"):
        assert guarded.get("/api/events", headers={"Authorization": given}).status_code == 401
    with connect(guarded.websocket_url, additional_headers={"Authorization": f"Bearer {TOKEN}"}) as socket_:
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
        page = client.post("/login", data={}, headers={"Accept": "text/html,*/*;q=0.8", "Accept-Language": "de"})
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "<p>Zu viele Versuche; etwas warten.</p>" in page.text, "a browser shows no JSON to people"


def test_a_page_about_a_refusal_has_the_request_as_text_only(guarded: Site) -> None:
    headers = {"Accept": "text/html", "Authorization": f"Bearer {TOKEN}"}
    page = guarded.get("/api/health?%3Cb%3E=1", headers=headers)
    assert (page.status_code, "&lt;b&gt; is not a parameter" in page.text) == (400, True)


def test_a_form_of_another_site_cannot_log_in(guarded: Site) -> None:
    answer = httpx.post(
        f"{guarded.url}/login", data={"token": TOKEN}, headers={"Origin": "http://evil.example"}, trust_env=False
    )
    assert answer.status_code == 403


def test_the_token_is_not_in_the_log_or_a_response(guarded: Site) -> None:
    with guarded.client(headers={"Authorization": f"Bearer {TOKEN}"}) as client:
        answers = [client.get(path) for path in ("/api/config", "/api/health", "/metrics", "/api/nothing")]
    assert not [answer for answer in answers if TOKEN in answer.text]
    assert TOKEN not in str(guarded.log.written)


def test_two_servers_of_one_host_have_separate_cookies(tmp_path: Path) -> None:
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    with a_site(word) as one, a_site(word) as other, httpx.Client(trust_env=False) as client:
        for site in (one, other):
            client.post(f"{site.url}/login", data={"token": TOKEN})
        assert len(client.cookies) == 2
        client.post(f"{other.url}/logout")
        assert client.get(f"{one.url}/api/health").status_code == 200
        assert client.get(f"{other.url}/api/health").status_code == 401


@pytest.mark.parametrize("other", ['prefs={"a": 1}', "a b=c", "novalue", "path=/x", "a,b=1", "@x=1", "b=;", "ü=1"])
def test_a_cookie_of_another_program_on_this_host_does_not_end_the_session(guarded: Site, other: str) -> None:
    port = guarded.address[1]
    own = f"{cookie_name(port)}={cookie_value(TOKEN, int(time.time()))}"
    for header in (f"{other}; {own}", f"{own}; {other}"):
        answer = guarded.get("/api/classes", headers=[("Cookie", header.encode("latin-1"))])
        assert answer.status_code == 200


def test_a_client_behind_a_trusted_proxy_has_its_own_attempts_to_log_in(tmp_path: Path) -> None:
    word = f"http://127.0.0.1:0,trusted_proxies=127.0.0.1,token_file={write_token(tmp_path, TOKEN)}"
    with a_site(word) as site, site.client() as client:
        guesses = [{"token": f"guess-{number}", **dict.fromkeys("abcdefgh", "x")} for number in range(8)]
        tries = [client.post("/login", data=guess, headers={"X-Forwarded-For": "192.0.2.66"}) for guess in guesses]
        assert [tries[0].status_code, tries[-1].status_code] == [303, 429]
        owner = client.post("/login", data={"token": TOKEN}, headers={"X-Forwarded-For": "192.0.2.7"})
        assert owner.headers["location"] == "."
