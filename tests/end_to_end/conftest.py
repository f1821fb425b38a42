"""Fixtures of the tests of whole programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Return a browser that the tests of a module share, or skip where there is none."""
    from support.browser import a_browser, skip_without_chromium

    skip_without_chromium()
    with a_browser() as browser:
        yield browser
