"""Take the documentation's picture of soundwatch's device in a real Home Assistant, with the demo scene.

Run `HOME_ASSISTANT_PYTHON=PYTHON .venv/bin/python scripts/home_assistant_picture.py`, with the Python of
scripts/home_assistant_environment.py. It also needs Debian's chromium and mosquitto.

Conventions: docs/pictures/home-assistant.png.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from playwright.sync_api import FloatRect, ViewportSize, sync_playwright
from screenshots import ARGUMENTS, CHROMIUM, ROOT, daemon, keep

sys.path.insert(0, str(ROOT / "tests"))
from support.home_assistant import HomeAssistant  # the tests' own
from support.mosquitto import Mosquitto, wait_until
from support.ports import free_port

KEYS: Final = """
sources: {street: {device: demo}}
level: {enabled: true}
"""
SIREN: Final = "binary_sensor.soundwatch_balcony_street_siren"
LEVEL: Final = "sensor.soundwatch_balcony_street_level"
DRAWING_MS: Final = 3_000
VIEWPORT: Final[ViewportSize] = {"width": 1240, "height": 1300}
CARDS: Final[FloatRect] = {"x": 256, "y": 0, "width": 660, "height": 1060}


@contextmanager
def home_assistant(folder: Path, broker_port: int) -> Iterator[HomeAssistant]:
    """Run a new Home Assistant."""
    (folder / "home-assistant").mkdir()
    home = HomeAssistant(folder / "home-assistant", broker_port)
    try:
        yield home
    finally:
        home.close()


def main() -> None:
    """Take the picture while the siren is heard."""
    with tempfile.TemporaryDirectory(prefix="soundwatch-") as name:
        folder = Path(name)
        broker = Mosquitto(folder, free_port())
        try:
            with home_assistant(folder, broker.port) as home, daemon(name, KEYS, sinks=[f"mqtt://{broker.address}"]):
                take(home)
        finally:
            broker.kill()


def take(home: HomeAssistant) -> None:
    """Open the page of the device with the tokens of the user, and keep it."""
    wait_until(lambda: home.states().get(LEVEL, "unknown") not in ("unknown", "unavailable"), "a level")
    tokens = home.tokens | {
        "hassUrl": home.url,
        "clientId": f"{home.url}/",
        "expires": int((time.time() + home.tokens["expires_in"]) * 1000),
    }
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser,
    ):
        context = browser.new_context(viewport=VIEWPORT, color_scheme="light")
        context.add_init_script(f"localStorage.setItem('hassTokens', {json.dumps(json.dumps(tokens))})")
        page = context.new_page()
        page.goto(f"{home.url}/config/devices/device/{home.device_id(SIREN)}")
        page.get_by_text("street Siren").first.wait_for()
        wait_until(lambda: home.states()[SIREN] == "on", "the siren")
        page.wait_for_timeout(DRAWING_MS)
        keep("home-assistant", page.screenshot(clip=CARDS))


if __name__ == "__main__":
    main()
