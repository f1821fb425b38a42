"""Write the page's icons as PNG files, from static/icon.svg.

Usage: python scripts/icons.py (needs Debian's chromium)

Conventions: `icon-SIZE.png` has a transparent ground. `icon-maskable.png` fills its square, with the mark inside the
inner circle of 80 % that every mask leaves.
"""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import sync_playwright

STATIC: Final = Path(__file__).resolve().parents[1] / "daemon" / "soundwatch" / "daemon" / "web" / "static"
CHROMIUM: Final = "/usr/bin/chromium"
GROUND: Final = "#101316"
ICONS: Final = {"icon-192": (192, 1.0, "transparent"), "icon-512": (512, 1.0, "transparent")}
ICONS_FILLED: Final = {"icon-maskable": (512, 0.6, GROUND), "icon-apple": (180, 0.72, GROUND)}


def main() -> None:
    """Write all icons."""
    source = base64.b64encode((STATIC / "icon.svg").read_bytes()).decode()
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"]) as browser,
    ):
        for name, (size, share, ground) in {**ICONS, **ICONS_FILLED}.items():
            page = browser.new_page(viewport={"width": size, "height": size})
            page.set_content(
                f"<body style='margin:0;background:{ground};display:grid;place-items:center;height:100vh'>"
                f"<img style='width:{100 * share}%' src='data:image/svg+xml;base64,{source}'>"
            )
            shot = page.screenshot(omit_background=True)
            mode = "RGBA" if ground == "transparent" else "RGB"
            Image.open(io.BytesIO(shot)).convert(mode).save(STATIC / f"{name}.png", optimize=True)


if __name__ == "__main__":
    main()
