"""Events on the page in a real browser: filters, labels, clips, tags and errors."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest
import soundfile
from playwright.sync_api import APIResponse, Browser, Route, expect

from soundwatch.daemon.sinks.protocols import SinkStatus
from support.browser import event_rows, opened
from support.journal_factory import hello
from support.web_harness import IDS, Site, a_site, clip_line, lost_line, reading, today

CLOCK_CHANGES = """async (differences) => {
  const { compareClocks } = await import("./static/clock.js");
  return differences.map((s) => compareClocks({ started: new Date(Date.now() + 1000 * s).toISOString(), uptime_s: 0 }));
}"""


def test_events_are_filtered_and_searched(browser: Browser, site: Site) -> None:
    site.append(today(1), today(2, class_="high"), today(3, source="yard", peak_score=0.55))
    page, said = opened(browser, site.url)
    expect(event_rows(page)).to_have_count(3)
    expect(page.locator("#day-total")).to_have_text("3 events")
    expect(page.locator("#levels")).to_be_empty()
    page.locator("#class").select_option("high")
    expect(event_rows(page)).to_have_count(1)
    page.locator("#class").select_option("")
    page.get_by_label("Search").fill("yard")
    expect(event_rows(page)).to_have_count(1)
    page.get_by_label("Search").fill("")
    page.get_by_label("Peak score").select_option("0.7")
    expect(event_rows(page)).to_have_count(2)
    site.append(today(4, peak_score=0.6))
    page.locator("#hours button", has_text="high").click()
    expect(event_rows(page)).to_have_count(1)
    expect(page.locator("#hours button", has_text="high")).to_have_attribute("aria-pressed", "true")
    page.get_by_label("Search").fill("nothing is like this")
    expect(page.locator("#events-state")).to_have_text("No event matches the filter.")
    page.get_by_label("Search").fill("")
    page.get_by_label("Previous day").click()
    expect(page.locator("#day-title")).to_have_text("Yesterday")
    expect(event_rows(page)).to_have_count(0)
    assert said == []
    page.context.close()


def test_an_event_that_starts_while_the_chart_of_the_day_loads_is_counted(browser: Browser, site: Site) -> None:
    held: list[tuple[Route, APIResponse]] = []

    def hold_the_first(route: Route) -> None:
        if site.journal.last_seq:
            route.continue_()
        else:
            held.append((route, route.fetch()))

    page, _ = opened(browser, "about:blank")
    page.route("**/api/counts?*", hold_the_first)
    page.goto(site.url)
    expect(page.locator("#status")).to_have_text("No source is running")
    expect(page.locator("#events-state")).to_have_text("No events yet today.")
    site.append(today(1))
    expect(event_rows(page)).to_have_count(1)
    for route, response in held:
        assert response.json()["counts"] == [], "the response is older than the event"
        route.fulfill(response=response)
    expect(page.locator("#day-total")).to_have_text("1 event")
    page.context.close()


def test_an_event_is_labeled_with_a_button_and_unlabeled(browser: Browser, site: Site) -> None:
    site.append(today(1), today(1, "end"))
    page, said = opened(browser, site.url)
    event_rows(page).first.locator("summary").click()
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
    event_rows(page).last.locator("summary").click()
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
    event_rows(page).first.locator("summary").click()
    expect(event_rows(page).first).to_contain_text("No clip was saved: speech.")
    assert said == []
    page.context.close()


def test_names_are_shown_as_escaped_text(browser: Browser, site: Site) -> None:
    evil = '<img src=x onerror="document.title=1"><script>document.title=2</script>'
    site.append(today(1, class_=evil, source="mic0"), msgspec.structs.replace(lost_line(), detail=evil))
    page, said = opened(browser, site.url)
    expect(event_rows(page).first.locator(".class")).to_have_text(evil.replace("_", " "))
    expect(page.locator(".about").first).to_have_text(evil)
    assert page.locator("main img, main script").count() == 0
    expect(page).to_have_title("soundwatch on balcony")
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
    expect(event_rows(page).first.locator(".class")).to_have_text("glass (experimental)")
    event_rows(page).last.locator("summary").click()
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
    expect(step.locator("code")).to_have_text("soundwatch calibrate --background 3600 --source yard")
    assert said == []
    page.context.close()


def test_each_section_shows_its_own_error_and_loads_once_it_can(browser: Browser, site: Site) -> None:
    site.append(today(1))
    page, _ = opened(browser, "about:blank", service_workers="block")  # a route and a service worker exclude each other
    page.clock.install()
    page.route("**/api/**", lambda route: route.fulfill(status=503, json={"error": "The disk is on fire."}))
    page.goto(site.url)
    page.locator("#editor > summary").click()
    shown = page.get_by_role("alert").filter(has_text="The disk is on fire.")
    expect(shown).to_have_count(10)
    expect(shown.filter(has_text="events")).to_have_text("The events cannot be shown: The disk is on fire.Try again")
    expect(page.get_by_text("Loading…").filter(visible=True)).to_have_count(0)
    expect(page.locator("#more")).to_be_disabled()  # a page after the list that was not loaded
    shown.filter(has_text="model").get_by_role("button").focus()
    page.evaluate("document.getElementById('banner').hidden = false")  # attempts wait for the connection
    page.clock.fast_forward(4_000)
    page.unroute_all()
    page.evaluate("document.getElementById('banner').hidden = true")
    page.clock.fast_forward(6_000)
    expect(shown).to_have_count(0)
    expect(page.locator("#model")).to_be_focused()
    expect(page.locator("#more")).to_be_enabled()
    expect(event_rows(page)).to_have_count(1)
    expect(page.locator(".source h3")).to_have_text(["mic0", "yard"])
    expect(page.get_by_label("Find a setting")).to_be_visible()
    of_a_period = re.compile("/api/(events|counts|levels|statistics)")
    page.route(of_a_period, lambda route: route.fulfill(status=503, json={"error": "The disk is on fire."}))
    page.get_by_label("Previous day").click()
    page.get_by_label("Earlier statistics").click()
    expect(shown).to_have_count(4)  # events, their chart, levels, statistics
    expect(page.locator("#day-title")).to_have_text("Yesterday")
    for place in ("#events", "#hours", "#day-total", "#statistics-period"):
        expect(page.locator(place), "nothing of the day before").to_be_empty()
    expect(page.get_by_role("region", name="Class by hour")).to_have_count(0)
    page.context.close()


def test_a_wrong_clock_and_no_websockets_change_no_day(browser: Browser, site: Site) -> None:
    site.append(today(1))
    page, said = opened(browser, "about:blank")
    page.add_init_script("delete window.WebSocket")
    page.clock.set_system_time(datetime.now(UTC) + timedelta(hours=50))
    page.goto(site.url)
    expect(event_rows(page)).to_have_count(1)
    expect(page.locator("#day-total")).to_have_text("1 event")
    expect(page.locator("#health")).to_contain_text("The clocks of soundwatch and of this browser differ by 2 days")
    assert page.evaluate(CLOCK_CHANGES, [61, 59, 61, 20]) == [True, False, False, True]
    assert said == []
    page.context.close()


def test_a_file_of_the_page_that_is_not_loaded_is_reported(browser: Browser, site: Site) -> None:
    page, _ = opened(browser, "about:blank", service_workers="block")
    page.route("**/static/bands.js", lambda route: route.fulfill(status=503, body="no"))
    page.goto(site.url, wait_until="commit")
    expect(page.get_by_role("alert")).to_contain_text("A file of this page was not loaded, so nothing is shown.")
    expect(page.get_by_role("link", name="Load the page again")).to_have_attribute("href", "")
    page.unroute_all()
    page.reload()  # as the link, or the page by itself
    expect(page.locator(".source h3")).to_have_text(["mic0", "yard"])
    page.route("**/static/theme.js", lambda route: route.fulfill(status=503, body="no"))
    page.reload()
    expect(page.locator(".source h3")).to_have_text(["mic0", "yard"])
    expect(page.locator("#status")).to_have_attribute("data-state", "idle")
    expect(page.locator("#incomplete")).to_be_hidden()
    expect(page.locator("#theme")).to_be_hidden()
    expect(page.locator("#updated")).to_be_hidden()
    page.route(
        "**/static/version.js",
        lambda route: route.fulfill(body="export const VERSION = 'other';", content_type="text/javascript"),
    )
    page.reload()
    expect(page.locator("#updated")).to_contain_text("soundwatch has another version than this page.")
    page.route("**/static/*", lambda route: route.abort())  # as without the slash at the end of a proxy's path
    page.reload()
    expect(page.get_by_text("the address of the page ends with a slash")).to_be_visible()
    page.context.close()


def test_the_table_of_sinks_counts_lines_that_were_lost_or_left_out(browser: Browser) -> None:
    broker = SinkStatus("broker", "failing", "refused", lost_lines=1200, skipped_lines=7)
    with a_site(sinks=[(broker, 40), (SinkStatus("file"), 0)]) as site:
        page, _ = opened(browser, site.url)
        expect(page.locator("#health tr", has_text="broker").locator("td").last).to_have_text("1,207")
        expect(page.locator("#health tr", has_text="file").locator("td").last).to_have_text("0")
        page.context.close()
