"""Sound levels and heat maps on the page in a real browser."""

from __future__ import annotations

import re

from playwright.sync_api import Browser, expect

from support.browser import opened
from support.journal_factory import hello
from support.level_factory import level_line, quarter_of_today
from support.noon_zone import noon_now
from support.web_harness import Site, lost_line, reading, today


def test_a_week_and_a_day_are_shown_as_heat_maps(browser: Browser, site: Site) -> None:
    site.append(today(1), today(2, class_="high"), today(2, "end", class_="high"))
    site.append(quarter_of_today(0, 57.4, calibrated=True), quarter_of_today(1, -40.0, source="yard"))
    page, said = opened(browser, site.url)
    statistics = page.locator("#statistics")
    expect(statistics).to_contain_text("Coverage")
    days = noon_now().isoweekday()  # those that have begun
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
