"""The page in a real browser, with a daemon on the demo scene."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import event_rows, opened
from support.demo_daemon import demo_daemon, has_event, wait_for
from support.ports import free_port


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a daemon until its first event."""
    state = tmp_path_factory.mktemp("state")
    with demo_daemon(free_port(), env={"STATE_DIRECTORY": str(state)}) as url:
        wait_for(lambda: has_event(url))
        yield url


def test_the_page_shows_live_scores_and_past_events(browser: Browser, url: str) -> None:
    page, said = opened(browser, url)
    expect(page.locator("#status")).to_have_text(re.compile("Running|problem"))
    expect(page.locator(".source h3")).to_have_text("demo")
    expect(page.locator(".scores .value").first).to_have_text(re.compile(r"^\d\.\d\d$"))
    expect(page.locator(".level")).to_have_text(re.compile("dBFS"))
    expect(event_rows(page).first).to_be_visible()
    expect(page.locator("#model")).to_contain_text("urban@sha256")
    expect(page.locator("#health")).to_contain_text("demo")
    page.locator("#model summary").click()
    expect(page.locator(".card-text h3")).to_have_text("urban")
    page.wait_for_function(
        "() => document.querySelector('canvas.picture').getContext('2d')"
        ".getImageData(400, 60, 300, 200).data.some(Boolean)"
    )
    assert said == []
    page.context.close()


def test_a_new_event_appears_without_a_reload(browser: Browser, url: str) -> None:
    page, said = opened(browser, url)
    expect(event_rows(page).first).to_be_visible()
    known = page.evaluate("[...document.querySelectorAll('#events > li')].map((row) => row.dataset.key)")
    page.wait_for_function("(known) => !known.includes(document.querySelector('#events > li').dataset.key)", arg=known)
    assert said == []
    page.context.close()


def test_the_page_reconnects_after_a_kill_of_the_daemon(browser: Browser, tmp_path: Path) -> None:
    port, journal = free_port(), str(tmp_path / "journal.db")
    with demo_daemon(port, "--journal", journal) as url:
        page, _ = opened(browser, url)
        expect(page.locator("#status")).not_to_have_attribute("data-state", "connecting")
        wait_for(lambda: has_event(url))
    expect(page.locator("#banner")).to_contain_text("soundwatch cannot be reached")
    expect(page.locator("#status")).to_have_text("Not connected")
    with demo_daemon(port, "--journal", journal):
        expect(page.locator("#banner")).to_be_hidden()
        expect(page.locator("#status")).to_have_text(re.compile("Running|problem"))
        expect(page.locator(".scores .value").first).to_have_text(re.compile(r"^\d\.\d\d$"))
        expect(event_rows(page).first).to_be_visible()
    page.context.close()


def test_a_source_is_paused_and_listened_to_again_by_its_button(browser: Browser, url: str) -> None:
    page, said = opened(browser, url)
    button = page.locator(".source button")
    expect(button).to_have_text("Pause")
    button.click()
    expect(page.locator(".source-state")).to_have_text("Paused")
    expect(page.locator(".level")).to_have_text("–")
    expect(button).to_have_text("Resume")
    button.click()
    expect(page.locator(".source-state")).to_have_text("Running")
    assert said == []
    page.context.close()
