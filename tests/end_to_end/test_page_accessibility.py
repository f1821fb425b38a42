"""Accessibility, themes and languages of the page in a real browser."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, expect

from support.browser import WCAG, broken_words, cut_texts, event_rows, opened
from support.journal_factory import hello
from support.level_factory import level_line, quarter_of_today
from support.web_harness import Site, lost_line, reading, today


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize(("width", "height"), [(1280, 900), (390, 844)], ids=["desk", "phone"])
def test_the_page_can_be_read_and_used_by_everybody(
    browser: Browser, site: Site, scheme: str, width: int, height: int
) -> None:
    """axe-core's rules for WCAG 2.1 AA, contrast among them; and nothing sticks out sideways."""
    site.view.live.publish(reading())
    site.append(
        hello("low", "high"),
        *(today(number, class_=("low", "high")[number % 2]) for number in range(1, 6)),
        today(1, "end"),
        lost_line("yard"),
        *(quarter_of_today(number, -45.0 - number % 7) for number in range(90) if number != 40),
    )
    page, said = opened(browser, site.url, color_scheme=scheme, viewport={"width": width, "height": height})
    expect(event_rows(page)).to_have_count(5)
    event_rows(page).first.locator("summary").click()
    page.locator("#levels summary").click()
    site.view.live.publish_level(level_line(-41.2))
    expect(page.locator(".sound-level").first).to_be_visible()
    expect(page.locator(".rule")).to_have_count(2)
    expect(page.get_by_label("Rule siren_at_night")).to_contain_text(
        "held: Cooldown 3, Limit 1; 1 message waits for a clip"
    )
    expect(page.get_by_label("Outputs of siren_at_night since the start")).to_contain_text("failing: no route")
    page.locator("#model summary").click()
    found = Axe().run(page, options=WCAG)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert said == []
    page.context.close()


def test_the_theme_is_chosen_by_the_button_and_kept(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site.url, color_scheme="light")
    paper = "getComputedStyle(document.body).backgroundColor"
    by_day = page.evaluate(paper)
    page.get_by_role("button", name="Theme").click()
    page.get_by_role("button", name="Theme").click()
    expect(page.get_by_role("button", name="Theme")).to_have_text("Theme: dark")
    by_night = page.evaluate(paper)
    assert by_day != by_night
    page.reload()
    expect(page.get_by_role("button", name="Theme")).to_have_text("Theme: dark")
    assert page.evaluate(paper) == by_night
    page.context.close()


def test_the_page_is_in_the_language_of_the_browser_or_in_a_chosen_one(browser: Browser, site: Site) -> None:
    long_name = "source_without_a_space_in_its_long_name" * 2
    site.append(today(1, class_="siren", peak_score=0.75, source=long_name), lost_line(long_name))
    page, said = opened(browser, site.url, locale="de-DE", viewport={"width": 320, "height": 844})
    expect(page.locator("#settings-title")).to_have_text("Einstellungen")
    expect(page.locator("#day-total")).to_have_text("1 Ereignis")
    expect(event_rows(page).first.locator(".class")).to_have_text("Sirene")
    expect(event_rows(page).first.locator(".value")).to_have_text("0,75")
    expect(page.locator(".rule p").first).to_contain_text("Sirene, von Sonnenuntergang bis Sonnenaufgang: Nachricht")
    page.locator("#editor > summary").click()
    expect(page.locator("#editor .note")).to_contain_text("Einstellungen können nur mit einem Token geändert werden.")
    page.locator(".settings-group summary", has_text="Erkennung").click()
    expect(page.locator(".setting").first).to_contain_text("Schwellwert, für alle Klassen.")
    assert cut_texts(page) == []
    page.get_by_label("Sprache").select_option("ja")
    expect(page.locator("#settings-title")).to_have_text("設定")
    page.reload()
    expect(page.locator("#day-total")).to_have_text("1件")
    assert cut_texts(page) == []
    for code in ("es", "fr", "nl", "de"):
        page.locator("#language").select_option(code)
        expect(page.locator("html")).to_have_attribute("lang", code)
        expect(page.locator(".rule p").first).not_to_be_empty()
        assert cut_texts(page) == [], f"a text of {code} is wider than its place on a phone"
        assert broken_words(page) == [], f"a word of {code} in a table is broken on a phone"
    page.set_viewport_size({"width": 768, "height": 900})
    assert cut_texts(page) == [], "nor on a tablet"
    assert said == []
    page.context.close()


def test_all_can_be_done_from_the_keyboard(browser: Browser, site: Site) -> None:
    site.append(today(1), today(1, "end"))
    page, _ = opened(browser, site.url)
    expect(event_rows(page)).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(event_rows(page).first.locator("summary")).to_be_focused()
    assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid", "one sees where one is"
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Correct")).to_be_visible()
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Correct")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Delete label")).to_be_focused()
    page.context.close()


def test_reduced_motion_disables_animations(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site.url, reduced_motion="reduce")
    expect(page.locator(".meter").first).to_be_visible()
    assert page.evaluate("getComputedStyle(document.querySelector('.meter'), '::before').transitionDuration") == "0s"
    page.context.close()
