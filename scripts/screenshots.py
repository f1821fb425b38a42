"""Take the documentation's screenshots of the page, from a real daemon with the demo scene.

Run `make screenshots`; it takes four minutes, since a spectrogram of a minute takes a minute. It needs Debian's
chromium.

Conventions: docs/pictures/page-{light,dark,phone,settings,editor,levels,week,rules}.png and clip.png, 256 colors, below
300 kB each.
"""

from __future__ import annotations

import io
import os
import signal
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

from level_day import write_level_days
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

ROOT: Final = Path(__file__).resolve().parents[1]
PICTURES: Final = ROOT / "docs" / "pictures"
SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
CHROMIUM: Final = "/usr/bin/chromium"
ARGUMENTS: Final = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
MOST_BYTES: Final = 300_000
LOOKING_MS: Final = 75_000
MARGIN: Final = 16
DAYS: Final = 2
TOKEN: Final = "a-token-for-screenshots"  # noqa: S105
STREET: Final = "sources: {street: {device: demo}}"
SETTINGS: Final = """
sources:
  street:
    {device: demo, high_pass_hz: 80, detection: {classes: {siren: {threshold: 0.6}, air_conditioner: {enabled: false}}}}
  yard: {device: demo, clips: false}
detection: {cooldown_s: 10}
schedules:
  night: {when: [{}], sources: [yard], then: {thresholds: {at_least: 0.9}}}
"""
RULES: Final = """
sources: {street: {device: demo}}
rules:
  sounds:
    when: {min_score: 0.6}
    not_when: {cooldown_s: 30}
    then: {send: ["json:FOLDER/alerts.jsonl"]}
  street_noise:
    when: {groups: [mechanical]}
    not_when: {during: [{days: [sun]}]}
    then: {send: ["json:FOLDER/noise.jsonl", "webhook:http://127.0.0.1:1/alerts"]}
  microphone:
    enabled: false
    when: {faults: [source_lost, source_back]}
    then: {send: ["json:FOLDER/faults.jsonl"]}
"""
SHOTS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 1240, "height": 1300}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 1240, "height": 1300}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5},
}


@contextmanager
def daemon(
    folder: str, keys: str, variables: Mapping[str, str] = MappingProxyType({}), sinks: Sequence[str] = ()
) -> Iterator[str]:
    """Run a daemon with a configuration, and yield its page's address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{probe.getsockname()[1]}"
    config = Path(folder) / "config.yaml"
    config.write_text(
        f"node: balcony\nsinks: {[url, f'json:{folder}/events.jsonl', *sinks]}\n"
        f"clips: {{folder: {folder}/clips, pictures: true, speech_guard: false}}\n{keys}\n"
    )
    command = [SOUNDWATCH, "run", "--config", str(config)]
    environment = os.environ | {"STATE_DIRECTORY": folder} | dict(variables)
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            yield url
        finally:
            process.send_signal(signal.SIGTERM)


def answers(url: str) -> bool:
    """Return True if the daemon responds."""
    try:
        with urllib.request.urlopen(f"{url}/api/health", timeout=5):  # noqa: S310  # our own, on loopback
            return True
    except urllib.error.HTTPError:  # a token is required
        return True
    except (urllib.error.URLError, OSError):
        return False


def open_one(page: Page) -> None:
    """Open an event that has a clip, and look at the page from its top."""
    page.locator("#events > li", has_text="♪").first.locator("summary").click()
    page.wait_for_function("() => document.querySelector('canvas.clip-picture').width > 300")
    page.mouse.move(0, 0)
    page.evaluate("() => { document.activeElement.blur(); scrollTo(0, 0); }")


def of(page: Page, selector: str) -> bytes:
    """Take one element of the page with a margin."""
    box = page.locator(selector).first.evaluate(
        "(element) => { const {x, y, width, height} = element.getBoundingClientRect();"
        "return {x: x + scrollX, y: y + scrollY, width, height}; }"
    )
    return page.screenshot(
        full_page=True,
        clip={
            "x": box["x"] - MARGIN,
            "y": box["y"] - MARGIN,
            "width": box["width"] + 2 * MARGIN,
            "height": box["height"] + 2 * MARGIN,
        },
    )


def keep(name: str, shot: bytes) -> None:
    """Write a picture in as few bytes as its few colors need."""
    path = PICTURES / f"{name}.png"
    Image.open(io.BytesIO(shot)).convert("RGB").quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)
    size_bytes = path.stat().st_size
    print(f"{path.relative_to(ROOT)}: {size_bytes:,} bytes")
    if size_bytes > MOST_BYTES:
        sys.exit(f"{path} has more than {MOST_BYTES:,} bytes")


def take_settings(browser: Browser) -> None:
    """Take the settings of two sources."""
    with tempfile.TemporaryDirectory() as folder, daemon(folder, SETTINGS, {"SOUNDWATCH_TOKEN": TOKEN}) as url:
        page = browser.new_page(color_scheme="light", viewport={"width": 1000, "height": 900})
        open_page(page, url)
        page.locator("#settings details summary").first.click()
        keep("page-settings", of(page, "section[aria-labelledby=settings-title]"))
        page.locator("#settings details summary").first.click()
        take_editor(page)
        keep("page-editor", of(page, "section[aria-labelledby=settings-title]"))


def take_editor(page: Page) -> None:
    """Change a value in the editor of the settings, and show the difference."""
    page.locator("#editor > summary").click()
    page.get_by_label("Find a setting").fill("longest event")
    field = page.locator(".setting-value input").last
    field.fill("120")
    field.press("Tab")
    page.get_by_role("button", name="Show the difference").click()
    page.locator(".diff").wait_for()


def take_rules(browser: Browser) -> None:
    """Take three alert rules, of which one has an output that fails."""
    with tempfile.TemporaryDirectory() as folder, daemon(folder, RULES.replace("FOLDER", folder)) as url:
        page = browser.new_page(color_scheme="light", viewport={"width": 1000, "height": 900})
        open_page(page, url)
        page.get_by_label("Rule sounds").get_by_text("the last one on").wait_for(timeout=LOOKING_MS)
        page.get_by_label("Outputs of street_noise").get_by_text("failing").wait_for(timeout=LOOKING_MS)
        keep("page-rules", of(page, "section[aria-labelledby=rules-title]"))


def take_levels(browser: Browser) -> None:
    """Take the levels of yesterday, and of each hour of its week."""
    with tempfile.TemporaryDirectory() as folder:
        write_level_days(Path(folder) / "journal.db", "balcony", "street", DAYS)
        with daemon(folder, f"{STREET}\njournal: {{path: {folder}/journal.db}}") as url:
            page = browser.new_page(color_scheme="light", viewport={"width": 1000, "height": 900})
            open_page(page, url)
            page.get_by_label("Previous day").click()
            page.wait_for_selector("#levels figure")
            keep("page-levels", of(page, "#levels"))
            if datetime.now().astimezone().isoweekday() == 1:  # yesterday is in the week before
                page.get_by_label("Earlier statistics").click()
            page.wait_for_selector("#statistics figure")
            keep("page-week", of(page, "#statistics figure"))


def open_page(page: Page, url: str) -> None:
    """Open the page once the daemon responds."""
    while not answers(url):
        page.wait_for_timeout(200)
    page.goto(url)
    if page.url.endswith("/login"):
        page.get_by_label("Token").fill(TOKEN)
        page.get_by_role("button", name="Log in").click()
    page.wait_for_selector("#settings details")


def main() -> None:
    """Take all."""
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        take_settings(browser)
        take_rules(browser)
        take_levels(browser)
        take_pages(browser)


def take_pages(browser: Browser) -> None:
    """Take the page with events that have clips."""
    with tempfile.TemporaryDirectory() as folder, daemon(folder, STREET) as url:
        first = browser.new_page()
        open_page(first, url)
        pages = {name: browser.new_context(**how).new_page() for name, how in SHOTS.items()}
        for page in pages.values():
            page.goto(url)
        first.wait_for_timeout(LOOKING_MS)
        keep("clip", next(Path(folder, "clips").glob("*-siren-*.png")).read_bytes())
        for name, page in pages.items():
            open_one(page)
            page.wait_for_timeout(1000)
            keep(f"page-{name}", page.screenshot())


if __name__ == "__main__":
    main()
