"""Take the documentation's pictures of the page docs/browser, with the siren of the demo scene at its microphone.

Run `make screenshots` after `make docs`, whose site/ the page is taken from. It needs Debian's chromium.

Conventions: docs/pictures/browser-{light,dark,phone}.png.
"""

from __future__ import annotations

import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Final

import soundfile
from playwright.sync_api import sync_playwright
from screenshots import ARGUMENTS, CHROMIUM, ROOT, keep

from soundwatch.daemon.capture.demo.scene import demo_scene

SHOTS: Final[dict[str, dict[str, Any]]] = {
    "light": {"color_scheme": "light", "viewport": {"width": 820, "height": 1010}},
    "dark": {"color_scheme": "dark", "viewport": {"width": 820, "height": 1010}},
    "phone": {"color_scheme": "light", "viewport": {"width": 390, "height": 844}, "device_scale_factor": 1.5},
}
LISTENING_MS: Final = 8_000


def main() -> None:
    """Take all."""
    handler = partial(SimpleHTTPRequestHandler, directory=str(ROOT / "site"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        recording = Path(folder) / "siren.wav"
        soundfile.write(recording, demo_scene(44_100, 15.0)[0, 3 * 44_100 :], 44_100, subtype="PCM_16")
        fake = ["--use-fake-device-for-media-stream", f"--use-file-for-fake-audio-capture={recording}"]
        with playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS + fake) as browser:
            for name, how in SHOTS.items():
                page = browser.new_context(permissions=["microphone"], **how).new_page()
                page.goto(f"http://127.0.0.1:{server.server_address[1]}/browser/index.html")
                page.get_by_role("button", name="Start").click()
                page.wait_for_function("() => document.querySelector('#scores .over')", timeout=0)
                page.wait_for_timeout(LISTENING_MS)
                keep(f"browser-{name}", page.screenshot())
    server.shutdown()


if __name__ == "__main__":
    main()
