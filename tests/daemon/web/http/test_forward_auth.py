"""A proxy that checks its users itself (forward authentication, OpenID Connect), before a page without a token."""

from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from soundwatch.daemon.web.http import middleware
from support.reverse_proxy import reverse_proxy
from support.web_harness import Site, a_site

PROXY = "127.0.0.2"
LOGGED_IN = {"Cookie": "_oauth2_proxy=alice"}
FORGED = {"X-Forwarded-User": "alice", "X-Forwarded-For": PROXY, "X-Auth-Request-User": "alice", "Remote-User": "alice"}


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site(f"http://127.0.0.1:0,proxy={PROXY},host=home.example") as site:
        yield site


@pytest.fixture(scope="module")
def proxy(site: Site) -> Iterator[str]:
    forwarded = b"\r\nX-Forwarded-Host: home.example"
    with reverse_proxy(
        site.address, "/soundwatch", upgrades=True, own_address=PROXY, headers=forwarded, login=b"_oauth2_proxy=alice"
    ) as url:
        yield f"{url}/soundwatch"


def test_only_users_that_the_proxy_has_checked_reach_the_page_and_none_needs_a_token(proxy: str) -> None:
    with httpx.Client(trust_env=False, timeout=60, verify=False) as client:  # noqa: S501
        for path in ("/", "/api/sources", "/static/main.js"):
            assert client.get(f"{proxy}{path}").status_code == 401
            assert client.get(f"{proxy}{path}", headers=LOGGED_IN).status_code == 200


def test_live_data_passes_the_proxy(proxy: str) -> None:
    address = proxy.replace("http:", "ws:") + "/api/ws"
    own = {"Origin": "https://home.example"}
    with connect(address, additional_headers=LOGGED_IN | own, proxy=None) as socket:
        socket.ping().wait(60)
    with pytest.raises(InvalidStatus, match="401"):
        connect(address, additional_headers=own, proxy=None)
    with pytest.raises(InvalidStatus, match="403"):
        connect(address, additional_headers=LOGGED_IN | {"Origin": "https://evil.example"}, proxy=None)


def test_each_user_of_a_proxy_has_a_request_limit_of_their_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "REQUEST_BURST", 1)
    monkeypatch.setattr(middleware, "REQUEST_RATE_HZ", 1e-6)
    with a_site("http://127.0.0.1:0,proxy=127.0.0.1") as behind_proxy:
        users = ("203.0.113.1", "203.0.113.1, 203.0.113.2", "203.0.113.9,203.0.113.1")
        answers = [behind_proxy.get("/api/health", headers={"X-Forwarded-For": user}) for user in users]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert {behind_proxy.get("/api/health").status_code for _ in range(3)} == {200}


def test_a_trusted_proxy_gives_each_client_its_own_limit_and_other_clients_cannot_name_themselves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "REQUEST_BURST", 1)
    monkeypatch.setattr(middleware, "REQUEST_RATE_HZ", 1e-6)
    users = ("203.0.113.1", "203.0.113.2", "203.0.113.9, 203.0.113.1")
    for proxy, statuses in (("127.0.0.1", [200, 200, 429]), ("127.0.0.2", [200, 429, 429])):
        with a_site(f"http://127.0.0.1:0,trusted_proxies={proxy}") as behind_proxy:
            answers = [behind_proxy.get("/api/health", headers={"X-Forwarded-For": user}) for user in users]
            assert [answer.status_code for answer in answers] == statuses


def test_a_trusted_proxy_without_the_header_has_the_limit_of_one_client_and_needs_the_token(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(middleware, "REQUEST_BURST", 2)
    monkeypatch.setattr(middleware, "REQUEST_RATE_HZ", 1e-6)
    monkeypatch.setenv("SOUNDWATCH_TOKEN", "sixteen-letters-")
    with a_site("http://127.0.0.1:0,trusted_proxies=127.0.0.1") as behind_proxy:
        forwarded = {"X-Forwarded-For": "203.0.113.1"}
        assert behind_proxy.get("/api/health", headers=forwarded).status_code == 401
        assert [behind_proxy.get("/api/health").status_code for _ in range(3)] == [401, 401, 429]


def test_one_client_of_a_proxy_cannot_take_the_open_requests_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(middleware, "MAX_CLIENT_REQUESTS", 1)
    with a_site("http://127.0.0.1:0,trusted_proxies=127.0.0.1") as behind_proxy, behind_proxy.client() as client:
        first, other = {"X-Forwarded-For": "203.0.113.1"}, {"X-Forwarded-For": "203.0.113.2"}
        with client.stream("GET", "/api/stream", headers=first) as stream:
            assert stream.status_code == 200
            refused = client.get("/api/health", headers=first)
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "10")
            assert client.get("/api/health", headers=other).status_code == 200


def test_no_header_replaces_the_proxy(site: Site) -> None:
    assert site.get("/", headers=LOGGED_IN | FORGED).status_code == 403
