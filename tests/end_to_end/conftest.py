"""Fixtures of the tests of whole programs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser

    from support.web_harness import Site


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser that the tests of a module share, or skip where there is none."""
    from support.browser import a_browser, skip_without_chromium

    skip_without_chromium()
    with a_browser() as browser:
        yield browser


@pytest.fixture
def site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    """Return a server with two rules and an empty folder of clips, or skip where there is no browser."""
    from soundwatch.daemon.config.config import ClipsConfig, Config
    from support.web_harness import RULES, a_site

    (tmp_path / "clips").mkdir()
    with a_site(config=Config(clips=ClipsConfig(folder=str(tmp_path / "clips"))), rules=RULES) as site:
        yield site
