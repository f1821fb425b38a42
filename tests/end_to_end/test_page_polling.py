"""Polling of the page in a real browser, behind a proxy that holds streams back."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from playwright.sync_api import Browser, Page, expect

from support.browser import event_rows, opened
from support.reverse_proxy import reverse_proxy
from support.web_harness import Site, a_site, today

HIDE = """() => {
  Object.defineProperty(document, "hidden", { configurable: true, get: () => true });
  document.dispatchEvent(new Event("visibilitychange"));
}"""
NOTE_BANNERS = """() => {
  window.banners = [];
  const banner = document.getElementById("banner");
  const note = () => banner.hidden || window.banners.push(banner.textContent);
  new MutationObserver(note).observe(banner, { attributes: true });
}"""


@contextmanager
def polling_page(browser: Browser, *, upgrades: bool = False) -> Iterator[tuple[Site, Page]]:
    """A page with a clock of the test that polls; with upgrades, the proxy holds WebSockets back, too."""
    with a_site() as site, reverse_proxy(site.address, "", upgrades=upgrades, buffers=True) as url:
        page, _ = opened(browser, "about:blank")
        page.clock.install()
        with page.expect_request("**/api/stream?*"):
            page.goto(f"{url}/")
            page.clock.fast_forward(5_000 * upgrades)
        page.clock.fast_forward(5_000)
        expect(page.locator("#polling")).to_be_visible()
        yield site, page
        page.context.close()


@pytest.mark.slow
def test_the_page_polls_behind_a_proxy_that_holds_streams_back(browser: Browser) -> None:
    with a_site() as site, reverse_proxy(site.address, "", upgrades=False, buffers=True) as url:
        page, said = opened(browser, "about:blank")
        page.clock.install()
        with page.expect_request("**/api/stream?*"):
            page.goto(f"{url}/")
        page.clock.fast_forward(5_000)
        expect(page.locator("#polling")).to_contain_text("The page asks every 5 seconds, and has no spectrogram.")
        expect(page.locator("#status")).to_have_text("No source is running")
        expect(page.locator("#banner")).to_be_hidden()
        site.append(today(1), today(1, "end"))
        page.clock.fast_forward(5_000)
        expect(event_rows(page)).to_have_count(1)
        with page.expect_request("**/api/stream?*"):
            page.clock.fast_forward(5_000)  # the live kinds are tried once more
        site.append(today(2), today(2, "end"))
        page.clock.fast_forward(5_000)
        expect(event_rows(page)).to_have_count(2)
        assert [text for text in said if "WebSocket" not in text] == []
        page.context.close()
    with a_site() as site:
        page, _ = opened(browser, site.url)
        expect(page.locator("#status")).to_have_text("No source is running")
        expect(page.locator("#polling")).to_be_hidden()
        page.context.close()


@pytest.mark.slow
def test_a_polling_page_stays_connected_while_the_browser_delays_the_timers_of_a_hidden_tab(browser: Browser) -> None:
    with polling_page(browser) as (site, page):
        page.evaluate(HIDE)
        with page.expect_request("**/api/stream?*"):
            page.clock.fast_forward(10_000)  # then the page requests no scores
        for number in (1, 2):  # the first one may come with the day's events, while a request is on its way
            site.append(today(number), today(number, "end"))
            page.clock.fast_forward(15_000)
            expect(event_rows(page)).to_have_count(number)
        page.evaluate(NOTE_BANNERS)
        for number in range(3, 6):
            site.append(today(number), today(number, "end"))
            page.clock.fast_forward(60_000)  # timers that are due run once, as in a tab that wakes up each minute
            expect(event_rows(page)).to_have_count(number)
        assert page.evaluate("window.banners") == []


@pytest.mark.slow
def test_a_polling_page_tries_the_streams_once_after_the_network_has_come_back(browser: Browser) -> None:
    with polling_page(browser, upgrades=True) as (_, page):
        sockets: list[str] = []
        page.on("websocket", lambda socket_: sockets.append(socket_.url))
        page.clock.fast_forward(8_000)
        page.evaluate("window.dispatchEvent(new Event('online'))")
        page.clock.fast_forward(3_000)  # the time at which the streams would have been tried
        with page.expect_request("**/api/stream?*"):
            page.clock.fast_forward(3_000)
        assert len(sockets) == 1
