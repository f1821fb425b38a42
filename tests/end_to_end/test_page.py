"""The page in a real browser, with a daemon on the demo scene."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
import soundfile
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, expect

from soundwatch.daemon.core.config import ClipsConfig, Config
from support.browser import WCAG, cut_texts, opened
from support.demo_daemon import demo_daemon, has_event, wait_for
from support.journal_factory import hello
from support.level_factory import level_line, period_line
from support.ports import free_port
from support.reverse_proxy import frame_page, reverse_proxy
from support.web_harness import IDS, RULES, TOKEN, Site, a_site, clip_line, lost_line, reading, today, write_token


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Run a daemon until its first event."""
    state = tmp_path_factory.mktemp("state")
    with demo_daemon(free_port(), env={"STATE_DIRECTORY": str(state)}) as url:
        wait_for(lambda: has_event(url))
        yield url


@pytest.fixture
def site(browser: Browser, tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "clips").mkdir()
    with a_site(config=Config(clips=ClipsConfig(folder=str(tmp_path / "clips"))), rules=RULES) as site:
        yield site


def quarter_of_today(number: int, laeq_db: float | None, **changes: Any) -> Any:
    """Return the levels of a quarter of an hour of the present day, in the browser's zone."""
    midnight = datetime.now().astimezone().replace(hour=0, minute=0, second=0, microsecond=0)
    start, end = (
        (midnight.astimezone(UTC) + timedelta(minutes=15 * place)).isoformat(timespec="milliseconds")
        for place in (number, number + 1)
    )
    return period_line(start.replace("+00:00", "Z"), end.replace("+00:00", "Z"), laeq_db, **changes)


def rows(page: Page) -> Any:
    return page.locator("#events > li")


def test_the_page_shows_live_scores_and_past_events(browser: Browser, url: str) -> None:
    page, said = opened(browser, url)
    expect(page.locator("#status")).to_have_text(re.compile("Running|problem"))
    expect(page.locator(".source h3")).to_have_text("demo")
    expect(page.locator(".scores .value").first).to_have_text(re.compile(r"^\d\.\d\d$"))
    expect(page.locator(".level")).to_have_text(re.compile("dBFS"))
    expect(rows(page).first).to_be_visible()
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
    expect(rows(page).first).to_be_visible()
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
        expect(rows(page).first).to_be_visible()
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


def test_events_are_filtered_and_searched(browser: Browser, site: Site) -> None:
    site.append(today(1), today(2, class_="high"), today(3, source="yard", peak_score=0.55))
    page, said = opened(browser, site.url)
    expect(rows(page)).to_have_count(3)
    expect(page.locator("#day-total")).to_have_text("3 events")
    expect(page.locator("#levels")).to_be_empty()
    page.locator("#class").select_option("high")
    expect(rows(page)).to_have_count(1)
    page.locator("#class").select_option("")
    page.get_by_label("Search").fill("yard")
    expect(rows(page)).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_label("Peak score").select_option("0.7")
    expect(rows(page)).to_have_count(2)
    site.append(today(4, peak_score=0.6))
    page.locator("#hours button", has_text="high").click()
    expect(rows(page)).to_have_count(1)
    expect(page.locator("#hours button", has_text="high")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Search").fill("nothing is like this")
    expect(page.locator("#events-state")).to_have_text("No event matches the filter.")
    page.get_by_label("Search").fill("")
    page.get_by_label("Previous day").click()
    expect(page.locator("#day-title")).to_have_text("Yesterday")
    expect(rows(page)).to_have_count(0)
    assert said == []
    page.context.close()


def test_a_week_and_a_day_are_shown_as_heat_maps(browser: Browser, site: Site) -> None:
    site.append(today(1), today(2, class_="high"), today(2, "end", class_="high"))
    site.append(quarter_of_today(0, 57.4, calibrated=True), quarter_of_today(1, -40.0, source="yard"))
    page, said = opened(browser, site.url)
    statistics = page.locator("#statistics")
    expect(statistics).to_contain_text("Coverage")
    days = datetime.now().isoweekday()  # those that have begun
    expect(page.get_by_role("region", name="Day by hour").locator("tbody tr")).to_have_count(days)
    levels = page.get_by_role("region", name="LAeq, dB(A), mic0")
    expect(levels.locator("tbody tr")).to_have_count(days)
    expect(levels.locator("tbody")).to_contain_text("5757.4")
    expect(page.get_by_role("region", name="LAeq, dBFS(A), not calibrated, yard")).to_contain_text("−40")
    page.get_by_role("button", name="Day", exact=True).click()
    expect(page.get_by_role("region", name="Day by hour")).to_have_count(0)
    expect(page.get_by_role("region", name="Class by hour")).to_contain_text("high")
    expect(page.get_by_role("region", name="LAeq, dB(A)", exact=True).locator("tbody")).to_have_text("mic05757.4")
    page.get_by_role("button", name="Earlier statistics").click()
    expect(statistics).to_contain_text("0 events")
    page.get_by_role("button", name="Later statistics").click()
    expect(page.locator("#statistics-period")).to_contain_text("so far")
    assert said == []
    page.context.close()


def test_the_levels_of_a_day_are_a_chart_and_a_table(browser: Browser, site: Site) -> None:
    """A missing quarter and digital silence break the line; uncalibrated levels are never on the axis of others."""
    site.append(
        *(quarter_of_today(number, -40.0 - number % 4) for number in (8, 9, 11)),
        quarter_of_today(12, None),
        quarter_of_today(13, -50.0),
        quarter_of_today(14, 62.5, calibrated=True, coverage=0.5),
        quarter_of_today(14, 55.0, calibrated=True, source="yard"),
        quarter_of_today(16, 60.0, calibrated=True, period="1h"),
    )
    page, said = opened(browser, site.url)
    charts = page.locator("#levels figure")
    expect(charts).to_have_count(3)
    uncalibrated = page.get_by_role("figure", name="Sound level of mic0, dBFS(A), not calibrated")
    expect(uncalibrated.locator("polyline")).to_have_count(3)
    expect(uncalibrated.get_by_role("img")).to_have_attribute("aria-label", re.compile("LAeq from −50.0 to −40.0"))
    uncalibrated.locator("summary").click()
    expect(uncalibrated.locator("tbody tr")).to_have_count(5)
    expect(uncalibrated.locator("tbody tr").first).to_have_text("02:00 to 02:15−40.0−28.0−48.0100 %")
    expect(uncalibrated.locator("tbody tr").nth(3)).to_contain_text("silent")
    calibrated = page.get_by_role("figure", name="Sound level of mic0, dB(A)", exact=True)
    calibrated.locator("summary").click()
    expect(calibrated.locator("tbody tr")).to_have_text("03:30 to 03:4562.574.554.550.0 %")
    page.get_by_label("Source").select_option("yard")
    expect(charts).to_have_count(1)
    site.append(quarter_of_today(15, 57.0, calibrated=True, source="yard"))
    expect(charts.get_by_role("img")).to_have_attribute("aria-label", re.compile("LAeq from 55.0 to 57.0"))
    page.get_by_label("Previous day").click()
    expect(charts).to_have_count(0)
    assert said == []
    page.context.close()


def test_the_live_level_has_its_kind_and_goes_with_its_source(browser: Browser, site: Site) -> None:
    site.view.live.publish(reading())
    site.append(hello("low", "high"))
    page, said = opened(browser, site.url)
    source, yard = page.get_by_role("article", name="mic0"), page.get_by_role("article", name="yard")
    expect(source.locator(".level")).to_have_text("−30.0 dBFS")
    expect(source.locator(".sound-level")).to_be_hidden()
    site.view.live.publish_level(level_line(-41.2))
    expect(source.locator(".sound-level")).to_have_text("LAeq 1 s −41.2 LAFmax −41.2 dBFS(A), not calibrated")
    expect(source.locator(".level")).to_be_hidden()
    site.view.live.publish_level(level_line(62.0, calibrated=True))
    expect(source.locator(".sound-level")).to_have_text("LAeq 1 s 62.0 LAFmax 62.0 dB(A)")
    site.view.live.publish_level(level_line(None, calibrated=True))
    expect(source.locator(".sound-level")).to_have_text("LAeq 1 s silent LAFmax silent dB(A)")
    expect(yard.locator(".sound-level")).to_be_hidden()
    site.append(lost_line())
    expect(source.locator(".sound-level")).to_be_hidden()
    expect(source.locator(".level")).to_have_text("–")
    assert said == []
    page.context.close()


def test_an_event_is_labeled_with_a_button_and_unlabeled(browser: Browser, site: Site) -> None:
    site.append(today(1), today(1, "end"))
    page, said = opened(browser, site.url)
    rows(page).first.locator("summary").click()
    page.get_by_role("button", name="Correct").click()
    expect(page.locator(".verdict")).to_contain_text("Your label: correct.")
    expect(page.locator(".mark")).to_have_text("✓ correct")
    page.get_by_role("button", name="Delete label").click()
    page.get_by_label("Correct class").select_option("high")
    expect(page.locator(".verdict")).to_contain_text("Your label: high.")
    assert site.journal.store.query("SELECT id, class FROM labels") == [(IDS[1], "high")]
    page.get_by_role("button", name="Delete label").click()
    page.get_by_label("Correct class").select_option("none of the classes")
    expect(page.locator(".mark")).to_have_text("✗ none")
    page.reload()
    expect(page.locator(".mark")).to_have_text("✗ none")
    assert said == []
    page.context.close()


def test_an_events_sound_is_played_and_pictured(browser: Browser, site: Site, tmp_path: Path) -> None:
    samples = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(32_000) / 16_000)
    soundfile.write(tmp_path / "clips" / "a.flac", samples, 16_000)
    of_clip = msgspec.structs.replace(clip_line(1, "a.flac"), picture="a.png")
    site.append(today(1), today(1, "end"), of_clip, today(2), clip_line(2, None, reason="speech"))
    page, said = opened(browser, site.url)
    expect(page.locator(".with-sound").last).to_have_text("♪")
    rows(page).last.locator("summary").click()
    expect(page.locator("audio")).to_have_attribute("src", f"api/clips/{IDS[1]}")
    expect(page.get_by_role("link", name="Picture")).to_have_attribute("href", f"api/clips/{IDS[1]}/picture")
    page.wait_for_function("() => document.querySelector('canvas.clip-picture').width > 300")
    brightest = page.evaluate(
        "() => { const {width, height} = document.querySelector('canvas.clip-picture');"
        "const context = document.querySelector('canvas.clip-picture').getContext('2d');"
        "const {data} = context.getImageData(width / 2, 0, 1, height);"
        "let best = 0; for (let y = 0; y < height; y += 1) if (data[4 * y] < data[4 * best]) best = y;"
        "return 1 - (best + 0.5) / height; }"
    )
    assert 8000 * brightest == pytest.approx(1000, abs=40), "the tone is where it should be"
    page.evaluate("document.querySelector('audio').play()")
    page.wait_for_function("() => document.querySelector('audio').currentTime > 0")
    rows(page).first.locator("summary").click()
    expect(rows(page).first).to_contain_text("No clip was saved: speech.")
    assert said == []
    page.context.close()


def test_names_are_shown_as_escaped_text(browser: Browser, site: Site) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    site.append(today(1, class_=evil, source="mic0"), msgspec.structs.replace(lost_line(), detail=evil))
    page, said = opened(browser, site.url)
    expect(rows(page).first.locator(".class")).to_have_text(evil.replace("_", " "))
    expect(page.locator(".about").first).to_have_text(evil)
    assert page.locator("main img, main script").count() == 0
    assert page.title() == "soundwatch on balcony"
    assert said == []
    page.context.close()


def test_the_highest_tags_are_shown_now_and_in_an_event(browser: Browser, site: Site) -> None:
    tags = {"speech": 0.5, "dog_growl": 0.75, "rain": 0.25, "bell": 0.0}
    window = reading(tags=tuple(tags), tag_values=np.array([*tags.values()], np.float32))
    site.view.live.publish(window)
    site.append(hello("low", "high"), today(1, also={"dog_growl": 0.75, "speech": 0.5}))
    site.append(today(2, class_="glass", experimental=True))
    page, said = opened(browser, site.url)
    expect(page.get_by_text("Also: dog growl 0.75, speech 0.50, rain 0.25")).to_be_visible()
    expect(rows(page).first.locator(".class")).to_have_text("glass (experimental)")
    rows(page).last.locator("summary").click()
    expect(page.locator(".event-body .facts")).to_contain_text("Alsodog growl 0.75, speech 0.50")
    assert said == []
    page.context.close()


def test_a_lost_source_and_a_failing_program_are_shown(browser: Browser, site: Site) -> None:
    page, said = opened(browser, site.url)
    expect(page.locator("#status")).to_have_text("No source is running")
    expect(page.locator("#events-state")).to_contain_text("No events yet today.")
    site.append(lost_line())
    expect(page.locator("#status")).to_have_text("1 problem")
    expect(page.locator(".source-state").first).to_have_text("Lost")
    expect(page.locator(".problems")).to_have_text("mic0 delivers no sound: mic0 was unplugged.")
    step = page.locator(".next-step")
    expect(step).to_contain_text("yard is not calibrated: its thresholds are the model's.")
    expect(step.locator("code")).to_have_text("soundwatch calibrate --background 3600")
    assert said == []
    page.context.close()


def test_a_failed_request_for_events_is_shown(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, site.url)
    page.route("**/api/events?*", lambda route: route.fulfill(status=503, json={"error": "The disk is on fire."}))
    page.get_by_label("Search").fill("x")
    expect(page.locator("#events-state")).to_have_text("The events cannot be shown: The disk is on fire.")
    page.context.close()


def test_a_visitor_logs_in_and_out(browser: Browser, tmp_path: Path) -> None:
    with a_site(f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}") as site:
        page, said = opened(browser, site.url)
        assert page.url.endswith("/login")
        page.get_by_label("Token").fill("not the token at all")
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#wrong")).to_have_text("The token is wrong.")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#status")).to_have_text("No source is running")
        assert page.evaluate("document.cookie") == "", "scripts never see it"
        page.wait_for_load_state("networkidle")  # a request of the starting page would be refused after the logout
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert said == []
        page.context.close()


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
    expect(rows(page)).to_have_count(5)
    rows(page).first.locator("summary").click()
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


@pytest.mark.parametrize("upgrades", [True, False], ids=["with websocket", "without websocket"])
def test_the_page_works_under_a_path_of_a_proxy(browser: Browser, tmp_path: Path, upgrades: bool) -> None:
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    with a_site(word) as site, reverse_proxy(site.address, "/deep/path", upgrades=upgrades) as url:
        page, said = opened(browser, f"{url}/deep/path/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#status")).to_have_text("No source is running")
        expect(page.locator("#banner")).to_be_hidden()
        site.append(today(1), today(1, "end"))
        expect(rows(page)).to_have_count(1)
        page.get_by_role("button", name="Pause").first.click()
        wait_for(lambda: site.switched == [("mic0", False)])
        rows(page).first.locator("summary").click()
        page.get_by_role("button", name="Correct").click()
        expect(page.locator(".mark")).to_have_text("✓ correct")
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.url == f"{url}/deep/path/login"
        assert [text for text in said if "WebSocket" not in text] == []
        page.context.close()


def test_the_page_shows_in_a_frame_of_a_configured_origin_only(browser: Browser) -> None:
    with a_site("http://127.0.0.1:0") as refusing, frame_page(refusing.url) as url:
        page, _ = opened(browser, url)
        expect(page.frame_locator("iframe").locator("#status")).to_have_count(0)
        page.context.close()
    port = free_port()
    with a_site(f"http://127.0.0.1:0,frame=http://127.0.0.1:{port}") as site, frame_page(site.url, port) as url:
        page, _ = opened(browser, url)
        expect(page.frame_locator("iframe").locator("#status")).to_have_text("No source is running")
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
    site.append(today(1, class_="siren", peak_score=0.75))
    page, said = opened(browser, site.url, locale="de-DE", viewport={"width": 390, "height": 844})
    expect(page.locator("#settings-title")).to_have_text("Einstellungen")
    expect(page.locator("#day-total")).to_have_text("1 Ereignis")
    expect(rows(page).first.locator(".class")).to_have_text("Sirene")
    expect(rows(page).first.locator(".value")).to_have_text("0,75")
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
    for code in ("es", "fr", "nl"):
        page.locator("#language").select_option(code)
        expect(page.locator("html")).to_have_attribute("lang", code)
        expect(page.locator(".rule p").first).not_to_be_empty()
        assert cut_texts(page) == [], f"a text of {code} is wider than its place on a phone"
    assert said == []
    page.context.close()


def test_all_can_be_done_from_the_keyboard(browser: Browser, site: Site) -> None:
    site.append(today(1), today(1, "end"))
    page, _ = opened(browser, site.url)
    expect(rows(page)).to_have_count(1)
    page.keyboard.press("Tab")
    expect(page.locator(".skip")).to_be_focused()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(rows(page).first.locator("summary")).to_be_focused()
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
