"""Review of a day's events on the page: labels from the keyboard, a class to ignore, deletion with clips."""

from __future__ import annotations

from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from soundwatch.daemon.config.config import ClipsConfig, Config
from support.browser import WCAG, opened
from support.web_harness import IDS, TOKEN, a_site, clip_line, today, write_token


@pytest.mark.slow
def test_events_are_reviewed_from_the_keyboard_and_a_class_is_ignored_after_a_look(browser: Browser) -> None:
    with a_site() as site:
        for number in (1, 2, 3):
            site.append(today(number), today(number, "end"))
        page, said = opened(browser, site.url, color_scheme="dark")
        rows = page.locator("#events > li")
        expect(rows).to_have_count(3)
        expect(page.locator(".keys")).to_contain_text("next and previous event")
        page.keyboard.press("j")
        expect(rows.nth(0).locator("summary")).to_be_focused()
        page.keyboard.press("r")
        expect(rows.nth(0).locator(".mark")).to_have_text("✓ correct")
        expect(rows.nth(1).locator("summary")).to_be_focused()
        page.keyboard.press("w")
        expect(rows.nth(1).locator(".mark")).to_have_text("✗ none")
        expect(rows.nth(2).locator("summary")).to_be_focused()
        page.keyboard.press("ArrowUp")
        page.keyboard.press("k")
        expect(rows.nth(0).locator("summary")).to_be_focused()
        assert site.journal.store.query("SELECT id, class FROM labels ORDER BY id") == [(IDS[2], None), (IDS[3], "low")]
        page.keyboard.press("i")
        dialog = page.get_by_role("dialog", name="Ignore low at mic0")
        expect(dialog).to_contain_text("This page cannot write the setting: Settings can be changed only with a token.")
        expect(dialog.locator("pre")).to_have_text(
            "sources:\n  mic0:\n    detection:\n      classes:\n        low:\n          enabled: false"
        )
        found = Axe().run(page, options=WCAG)
        assert found.violations_count == 0, found.generate_report()
        page.keyboard.press("Escape")
        expect(dialog).to_have_count(0)
        page.get_by_label("Search").press("w")  # a letter in a field is text
        expect(page.get_by_label("Search")).to_have_value("w")
        page.get_by_role("button", name="Keys: on").click()
        page.keyboard.press("j")
        expect(page.get_by_role("button", name="Keys: off")).to_be_focused()
        assert said == []
        page.context.close()


@pytest.mark.slow
def test_listed_events_are_deleted_with_their_clips_after_a_question(browser: Browser, tmp_path: Path) -> None:
    clip = tmp_path / "a.flac"
    clip.write_bytes(b"sound")
    config = Config(clips=ClipsConfig(folder=str(tmp_path)))
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}", config=config) as site:
        site.append(
            today(1), today(1, "end"), clip_line(1, "a.flac"), today(2, class_="high"), today(2, "end"), today(3)
        )
        page, said = opened(browser, site.url)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        rows = page.locator("#events > li")
        expect(rows).to_have_count(3)
        page.locator("#class").select_option("low")
        expect(rows).to_have_count(2)
        page.locator("#sound").select_option("true")
        expect(rows).to_have_count(1)
        page.get_by_role("button", name="Delete the events of this list").click()
        expect(page.get_by_role("dialog")).to_contain_text(
            "This deletes 1 event of this list, 1 of them with a clip, and its label."
        )
        page.get_by_role("button", name="Delete 1 event").click()
        expect(page.get_by_role("dialog")).to_contain_text("1 event was deleted. The journal has a line about it.")
        page.get_by_role("button", name="Close").click()
        expect(page.locator("#events-state")).to_have_text("No event matches the filter.")
        assert not clip.exists()
        assert said == []
        page.context.close()
