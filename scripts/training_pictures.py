"""Draw the documentation's pictures of a training run: the terminal, and TensorBoard in a real browser.

    python scripts/training_pictures.py --data UrbanSound8K

The run is `soundwatch train` on the clips at hand, of a few epochs. It needs Debian's chromium and the extra
`tensorboard`.

Conventions: docs/pictures/training.svg, tensorboard.png and tensorboard-mistakes.png; 256 colors, below 300 kB each.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Final

from playwright.sync_api import Page, sync_playwright
from screenshots import ARGUMENTS, CHROMIUM, PICTURES, SOUNDWATCH, keep
from terminal_picture import drawn

ROOT: Final = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tests"))
from support.ports import free_port  # noqa: E402  # the tests' own
from support.pty_terminal import Terminal  # noqa: E402

COLUMNS, ROWS = 100, 40
EPOCHS: Final = 6
CACHE: Final = {"XDG_CACHE_HOME": "cache"}
SHOWN: Final = re.compile(r"epoch 4/6 .*[3-9][0-9]%")  # the picture is taken when a line is like this
LOADED_MS: Final = 60_000
DRAWN_MS: Final = 3_000


def train(data: Path, folder: Path) -> None:
    """Train, and draw the terminal during an epoch."""
    numbers = ["--epochs", str(EPOCHS), "--precision", "bfloat16"]
    words = [SOUNDWATCH, "train", "--data", str(data), "--train-folds", "2,3", "--test-folds", "1", *numbers]
    terminal = Terminal([*words, "--out", "runs/a", "--log", "tensorboard"], COLUMNS, ROWS, cwd=str(folder), env=CACHE)
    try:
        while not any(SHOWN.search(line) for line in terminal.lines):
            if not terminal.read():
                sys.exit("\n".join(terminal.lines))
        (PICTURES / "training.svg").write_text(drawn(terminal.screen, "soundwatch train"), encoding="utf-8")
        while terminal.read(1.0):
            pass
        terminal.process.wait()
    finally:
        terminal.close()


def photograph(page: Page, url: str, tab: str, name: str, ready: str) -> None:
    """Take a picture of a tab of TensorBoard."""
    page.goto(f"{url}/?darkMode=false#{tab}")
    page.wait_for_selector(ready, timeout=LOADED_MS)
    page.wait_for_timeout(DRAWN_MS)
    keep(name, page.screenshot())


def show(folder: Path) -> None:
    """Run TensorBoard on the finished run, and take its pictures."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = str(Path(sys.executable).with_name("tensorboard"))
    command = [program, "--logdir", "runs", "--port", str(port), "--load_fast", "false"]
    server = subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        with sync_playwright() as play, play.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS) as browser:
            page = browser.new_page(viewport={"width": 1240, "height": 900})
            for _ in range(LOADED_MS // 1000):
                try:
                    urllib.request.urlopen(url).close()
                    break
                except urllib.error.URLError:
                    page.wait_for_timeout(1000)
            photograph(page, url, "timeseries", "tensorboard", "scalar-card")
            photograph(page, url, "audio", "tensorboard-mistakes", "audio")
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Train on the data given, and write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--runs", type=Path, help="Folder with runs/a of an earlier call; no run is trained.")
    options = parser.parse_args()
    if options.runs:
        show(options.runs)
        return
    with tempfile.TemporaryDirectory() as folder:
        train(options.data.resolve(), Path(folder))
        show(Path(folder))


if __name__ == "__main__":
    main()
