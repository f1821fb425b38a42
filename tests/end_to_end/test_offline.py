"""The installed page: its manifest, and what it shows without a connection."""

from __future__ import annotations

import io
from pathlib import Path
from urllib.parse import urljoin

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from soundwatch.daemon.web.static_files import STATIC
from support.browser import complaints_of
from support.reverse_proxy import reverse_proxy
from support.web_harness import TOKEN, a_site, event_line, write_token

KEPT = """async () => {
  const cache = await caches.open("shell");
  return (await cache.keys()).map((request) => new URL(request.url).pathname);
}"""

FETCHED = """async ([script, failing]) => {
  const fail = async () => { throw new DOMException("full", "QuotaExceededError"); };
  const shell = { put: fail, match: fail };
  const given = { open: failing === "open" ? fail : async () => shell };
  const names = ["caches", "registration", "addEventListener", "fetch"];
  const fetched = new Function(...names, script + "; return fetched");
  const answers = [new Response("page"), Response.error()];
  const ask = fetched(given, { scope: "/" }, () => null, async () => answers.shift());
  return [await (await ask("/")).text(), (await ask("/")).type];
}"""


def test_the_manifest_names_icons_of_their_size_and_the_page_above_it() -> None:
    with a_site() as site, site.client() as client:
        address = f"{site.url}/static/manifest.json"
        manifest = client.get(address).json()
        assert urljoin(address, manifest["start_url"]) == f"{site.url}/" == urljoin(address, manifest["scope"])
        for icon in manifest["icons"]:
            found = client.get(urljoin(address, icon["src"]))
            assert (found.status_code, found.headers["content-type"]) == (200, icon["type"])
            if icon["type"] == "image/png":
                size = Image.open(io.BytesIO(found.content)).size
                assert f"{size[0]}x{size[1]}" == icon["sizes"]


@pytest.mark.slow
def test_an_installed_page_opens_without_a_connection_and_says_so(browser: Browser, tmp_path: Path) -> None:
    expect.set_options(timeout=60_000)
    word = f"http://127.0.0.1:0,token_file={write_token(tmp_path, TOKEN)}"
    page = browser.new_page()
    with a_site(word) as site, reverse_proxy(site.address, "/deep/path", upgrades=True) as url:
        site.append(event_line(1))
        page.goto(f"{url}/deep/path/")
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#status")).to_have_text("No source is running")
        page.wait_for_function("async () => (await caches.open('shell')).match('./')")
        page.reload()
        expect(page.locator("#status")).to_have_text("No source is running")
        kept = page.evaluate(KEPT)
        assert "/deep/path/static/main.js" in kept
        assert "/deep/path/static/language-en.json" in kept
        assert [path for path in kept if path != "/deep/path/" and "/static/" not in path] == []
    said = complaints_of(page)
    page.reload()
    expect(page.locator("#banner")).to_contain_text("soundwatch cannot be reached. Nothing was loaded.")
    expect(page.locator("#status")).to_have_text("Not connected")
    expect(page.locator("#settings-title")).to_have_text("Settings")
    assert [text for text in said if "Failed to load" not in text and "WebSocket" not in text] == []


@pytest.mark.slow
@pytest.mark.parametrize("failing", ["open", "put"])
def test_the_service_worker_answers_where_the_browser_cannot_store_files(browser: Browser, failing: str) -> None:
    page = browser.new_page()
    script = (STATIC / "worker.js").read_text(encoding="utf-8")
    assert page.evaluate(FETCHED, [script, failing]) == ["page", "error"]
    page.close()
