"""Debian's Chromium, driven by Playwright; a test that needs it is skipped, with a reason, where it is missing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Locator, Page, expect, sync_playwright

from support.noon_zone import NOON_ZONE

CHROMIUM = Path("/usr/bin/chromium")
WAIT_MS = 60_000
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}}
# The popup of a tab's address bar, the last two, is two pages: half of the processor time of an empty tab.
# Playwright disables the features before it, but its switch does not count after a second one.
DISABLED_FEATURES = (
    *("AvoidUnnecessaryBeforeUnloadCheckSync", "DestroyProfileOnBrowserClose", "HttpsUpgrades", "PaintHolding"),
    *("HttpsFirstBalancedModeAutoEnable", "LensOverlay", "MediaRouter", "ThirdPartyStoragePartitioning"),
    *("AvoidCorsURLLoaderRestartOnRedirect", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled"),
    *("PreconnectToSearch", "WebUIOmniboxPopup", "WebUIOmniboxAimPopup"),
)
ARGUMENTS = (
    f"--disable-features={','.join(DISABLED_FEATURES)}",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
CUT_TEXTS = """() => [...document.querySelectorAll("body *")]
  .filter((element) => element.checkVisibility() && !element.closest(".unseen, .skip, .scroll, svg, select"))
  .filter((element) => {
    const texts = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
    const outside = texts.some((node) => {
      const range = document.createRange();
      range.selectNodeContents(node);
      return range.getBoundingClientRect().right > innerWidth + 1;
    });
    const clips = getComputedStyle(element).overflowX !== "visible" && element.scrollWidth > element.clientWidth + 1;
    return outside || (clips && element.textContent.trim());
  })
  .map((element) => `${element.tagName} ${element.className}: ${element.textContent.trim().slice(0, 60)}`)"""


@contextmanager
def a_browser(*options: str) -> Iterator[Browser]:
    """A headless browser, with further options of its command line."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=[*ARGUMENTS, *options])
        try:
            yield browser
        finally:
            browser.close()


BROKEN_WORDS = """() => {
  const found = [], range = document.createRange();
  for (const cell of document.querySelectorAll("thead th, td")) {
    const texts = document.createTreeWalker(cell, NodeFilter.SHOW_TEXT);
    for (let text = texts.nextNode(); text; text = texts.nextNode()) {
      const words = cell.tagName === "TH" ? /[\\p{L}\\p{N}]+/gu : /^[−\\d.,]+$/g;
      for (const word of text.data.matchAll(words)) {
        range.setStart(text, word.index);
        range.setEnd(text, word.index + word[0].length);
        if (new Set([...range.getClientRects()].map((part) => Math.round(part.top))).size > 1) found.push(word[0]);
      }
    }
  }
  return found;
}"""


def skip_without_chromium() -> None:
    """Skip where there is none."""
    if not CHROMIUM.exists():
        pytest.skip(f"there is no {CHROMIUM}: apt-get install chromium")


def complaints_of(page: Page) -> list[str]:
    """Return the messages on the page's console, except those about a server that the test stopped."""
    said: list[str] = []
    page.on("pageerror", lambda error: said.append(str(error)))

    def note(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            said.append(message.text)

    page.on("console", note)
    return said


def opened(browser: Browser, url: str, **context: Any) -> tuple[Page, list[str]]:
    """Open an address in a context of its own, where it is about noon; return the page, and what its console says."""
    options = {"viewport": {"width": 1280, "height": 900}, "timezone_id": NOON_ZONE} | context
    page = browser.new_context(**options).new_page()
    page.set_default_timeout(WAIT_MS)
    expect.set_options(timeout=WAIT_MS)
    said = complaints_of(page)
    page.goto(url)
    return page, said


def event_rows(page: Page) -> Locator:
    """Return the rows of the page's list of events."""
    return page.locator("#events > li")


def broken_words(page: Page) -> list[str]:
    """Return the words of headings of tables, and the numbers in tables, of which a part is on another line."""
    found: list[str] = page.evaluate(BROKEN_WORDS)
    return found


def cut_texts(page: Page) -> list[str]:
    """Return the texts that are wider than the page or than their element, except where that can be scrolled."""
    found: list[str] = page.evaluate(CUT_TEXTS)
    return found
