"""Paths of the API that hold the name of a source."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

import pytest

from support.web_harness import Site, a_site, lost_line


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as site:
        yield site


@pytest.mark.parametrize("name", ["yard/é", "events", "x/pause", "a b%2F?#"])
def test_a_source_of_any_name_is_paused(site: Site, name: str) -> None:
    site.append(lost_line(name))
    with site.client() as client:
        path = f"/api/sources/{quote(name, safe='')}"
        assert client.post(f"{path}/pause", json={}).json() == {"source": name, "listen": False}
        assert client.post(f"{path}/resume", json={}).json() == {"source": name, "listen": True}
        assert client.get(f"{path}/listen").status_code == 403, "this address exists too"
