"""Settings that are changed through the API and on the page of a running daemon."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Locator, Page, expect

from support.browser import a_browser, complaints_of, skip_without_chromium
from support.demo_daemon import demo_daemon, wait_for
from support.ports import free_port
from support.web_harness import TOKEN, a_site

WAIT_MS = 60_000
WCAG = {"runOnly": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]}}
TEXT = """\
# The balcony.
sources: {mic0: {device: demo}}
detection:
  cooldown_s: 5.0   # long enough

# Where events go.
sinks: ["json:events.jsonl"]
"""


class Running:
    """A daemon with a configuration file and a token."""

    def __init__(self, url: str, path: Path) -> None:
        self.url = url
        self.path = path

    def ask(self, method: str, path: str, **options: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {TOKEN}"} | options.pop("headers", {})
        with httpx.Client(timeout=60, trust_env=False, verify=False) as client:  # noqa: S501  # no certificates to load
            return client.request(method, f"{self.url}/api/{path}", headers=headers, **options)

    def keys(self) -> Any:
        return self.ask("GET", "settings/keys").json()

    def key(self, name: str) -> Any:
        return next(key for key in self.keys()["keys"] if key["key"] == name)

    def put(self, body: Any, tag: str | None = None, **headers: str) -> httpx.Response:
        return self.ask("PUT", "settings", json=body, headers={"If-Match": tag or self.keys()["tag"]} | headers)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    folder = tmp_path_factory.mktemp("daemon")
    path = folder / "config.yaml"
    path.write_text(TEXT)
    env = {"STATE_DIRECTORY": str(folder), "SOUNDWATCH_TOKEN": TOKEN, "SOUNDWATCH_CONFIG": str(path)}
    with demo_daemon(free_port(), "--device", "mic0", env=env) as url:
        yield Running(url, path)


@pytest.fixture(autouse=True)
def restored(daemon: Running) -> Iterator[None]:
    yield
    if daemon.path.read_text() != TEXT:
        daemon.path.write_text(TEXT)


@pytest.mark.slow
def test_a_change_is_shown_first_then_written_and_in_force(daemon: Running) -> None:
    key = daemon.key("detection.cooldown_s")
    assert (key["value"], key["default"], key["origin"], key["kind"]) == (5.0, 5.0, "file", "number")
    assert "Seconds after an event" in key["text"]
    body = {"changes": {"detection.cooldown_s": 9, "detection.classes.siren.threshold": 0.6}}
    checked = daemon.put(body | {"dry_run": True}).json()
    assert (checked["state"], daemon.path.read_text()) == ("checked", TEXT)
    assert {"number": 4, "kind": "added", "text": "  cooldown_s: 9   # long enough"} in checked["lines"]
    saved = daemon.put(body).json()
    assert (saved["state"], saved["detail"]) == ("reloaded", "what decides is changed")
    assert "# Where events go." in daemon.path.read_text()
    assert daemon.ask("GET", "config").json()["config"]["detection"]["cooldown_s"] == 9
    refused = daemon.put({"changes": {"detection.cooldwn_s": 1}})
    assert (refused.status_code, "did you mean `cooldown_s`?" in refused.json()["error"]) == (422, True)
    stale = daemon.put({"changes": {"detection.cooldown_s": 1}}, tag="of another content")
    assert stale.status_code == 412
    untagged = daemon.ask("PUT", "settings", json=body)
    assert untagged.status_code == 428
    foreign = daemon.put({"remove": ["detection.cooldown_s"]}, Origin="http://other.example")
    assert foreign.status_code == 403
    assert daemon.put({"remove": ["node"]}).json()["state"] == "unchanged"


def test_settings_are_shown_and_never_changed_without_a_token() -> None:
    with a_site() as site, site.client() as client:
        assert "only with a token" in client.get("/api/settings/keys").json()["problem"]
        refused = client.put("/api/settings", json={"remove": ["node"]}, headers={"If-Match": "x"})
        assert (refused.status_code, "only with a token" in refused.json()["error"]) == (403, True)
        deep = b'{"changes": {"node": ' + b"[" * 1500 + b"]" * 1500 + b"}}"
        headers = {"Content-Type": "application/json", "If-Match": "x"}
        assert client.put("/api/settings", content=deep, headers=headers).status_code in (403, 422)


@pytest.fixture(scope="module")
def page(daemon: Running) -> Iterator[Page]:
    """Open the page, logged in, in one browser for all tests of this module."""
    skip_without_chromium()
    expect.set_options(timeout=WAIT_MS)
    with a_browser() as browser:
        page = browser.new_context(viewport={"width": 1100, "height": 900}).new_page()
        page.set_default_timeout(WAIT_MS)
        page.goto(daemon.url)
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
        expect(page.locator("#settings summary").first).to_be_visible()
        yield page


@pytest.mark.slow
def test_a_setting_is_changed_on_the_page_from_the_keyboard(page: Page, daemon: Running) -> None:
    said = complaints_of(page)
    page.locator("#editor > summary").focus()
    page.keyboard.press("Enter")
    page.get_by_label("Find a setting").fill("cooldown_s")
    row = page.locator(".setting", has_text="Seconds after an event").first
    field = row.locator("input")
    expect(field).to_have_value("5")
    field.fill("-1")
    field.press("Tab")
    expect(row.locator(".refused")).to_contain_text("Expected `number` >= 0.0")
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("9")
    field.press("Tab")
    expect(field).not_to_have_attribute("aria-invalid", "true")
    page.get_by_role("button", name="Show the difference").press("Enter")
    expect(page.locator(".diff li")).to_have_text(
        ["−   cooldown_s: 5.0   # long enough", "+   cooldown_s: 9   # long enough"]
    )
    assert daemon.path.read_text() == TEXT
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        for width in (1100, 390):
            page.set_viewport_size({"width": width, "height": 900})
            found = Axe().run(page, "#editor", options=WCAG)
            assert found.violations_count == 0, found.generate_report()
            assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    page.get_by_role("button", name="Save").press("Enter")
    expect(page.locator("#editor .good")).to_have_text("Saved and in force.")
    assert "cooldown_s: 9   # long enough" in daemon.path.read_text()
    expect(page.locator("#settings tr", has_text="Cooldown").first).to_contain_text("9 s")
    assert [text for text in said if "422" not in text] == []


@pytest.mark.slow
def test_a_class_is_ignored_at_its_source_after_the_change_was_shown(page: Page, daemon: Running) -> None:
    wait_for(lambda: {event["source"] for event in daemon.ask("GET", "events").json()["events"]} == {"demo", "mic0"})
    page.goto(daemon.url)

    def ask_to_ignore(source: str) -> Locator:
        row = page.locator("#events > li", has=page.locator(".from", has_text=source)).last
        class_ = row.locator(".class span").first.inner_text()
        row.locator("summary").focus()
        page.keyboard.press("i")
        return page.get_by_role("dialog", name=f"Ignore {class_} at {source}")

    expect(ask_to_ignore("demo")).to_contain_text("This source is not in the configuration file")
    page.keyboard.press("Escape")
    dialog = ask_to_ignore("mic0")
    expect(dialog.locator("pre")).to_contain_text("enabled: false")
    assert daemon.path.read_text() == TEXT
    dialog.get_by_role("button", name="Write and reload").click()
    expect(dialog.get_by_role("alert")).to_have_text("The change is written and in force.")
    assert "enabled: false" in daemon.path.read_text()
    assert "# The balcony." in daemon.path.read_text()
