"""Servers that most tests of the web server share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support.web_harness import TOKEN, Site, a_site, event_line, write_token


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with a_site() as site:
        site.append(event_line(1))
        yield site


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Site]:
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}") as site:
        yield site
