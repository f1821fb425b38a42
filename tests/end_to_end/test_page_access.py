"""Login, proxies and frames of the page in a real browser."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from support.browser import event_rows, opened
from support.demo_daemon import wait_for
from support.ports import free_port
from support.reverse_proxy import frame_page, reverse_proxy
from support.web_harness import TOKEN, a_site, today, write_token


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
        assert said == []  # a request that is under way may be refused after the logout
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
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
        expect(event_rows(page)).to_have_count(1)
        page.get_by_role("button", name="Pause").first.click()
        wait_for(lambda: site.switched == [("mic0", False)])
        event_rows(page).first.locator("summary").click()
        page.get_by_role("button", name="Correct").click()
        expect(page.locator(".mark")).to_have_text("✓ correct")
        assert [text for text in said if "WebSocket" not in text] == []
        page.get_by_role("button", name="Log out").click()
        expect(page.get_by_label("Token")).to_be_visible()
        assert page.url == f"{url}/deep/path/login"
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
