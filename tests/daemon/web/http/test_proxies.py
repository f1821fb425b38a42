"""Proxies, frames and origins that the configuration names."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from soundwatch.daemon.web.http import middleware
from support.web_harness import TOKEN, Site, a_site, write_token


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
