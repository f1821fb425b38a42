"""Draws the documentation's picture of the terminal view: what a real run of the demo scene leaves on a real terminal.

Source: the program runs on a pseudo-terminal, pyte keeps its screen, rich writes that as SVG.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pyte
import soundfile
from rich.console import Console
from rich.style import Style
from rich.text import Text

from soundwatch.daemon.capture.demo import demo_scene

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / "docs" / "pictures" / "terminal.svg"
COLUMNS, ROWS = 100, 18
SCENE_S = 60.0
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}  # as pyte calls them

sys.path.insert(0, str(ROOT / "tests"))
from terminals import Terminal  # noqa: E402  # the tests' own terminal


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        street = Path(folder) / "street.wav"
        soundfile.write(street, demo_scene(44_100, SCENE_S).T, 44_100)
        (Path(folder) / "config.yaml").write_text("node: balcony\njournal: {path: memory}\n")
        program = str(Path(sys.executable).with_name("soundwatch"))
        words = [program, "run", "--config", "config.yaml", "--device", "street.wav"]
        terminal = Terminal(words, COLUMNS, ROWS, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            terminal.wait_for(lambda lines: sum("decay" in line for line in lines) >= 1 and _lasts(lines))
            PICTURE.write_text(drawn(terminal.screen), encoding="utf-8")
            os.killpg(terminal.process.pid, signal.SIGINT)
            terminal.end()
        finally:
            terminal.close()
    print(PICTURE.relative_to(ROOT))


def _lasts(lines: list[str]) -> bool:
    return any(line.endswith("lasts") for line in lines)


def drawn(screen: pyte.Screen) -> str:
    """A screen as SVG."""
    console = Console(width=screen.columns, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=_colour(cell.fg), bold=cell.bold, reverse=cell.reverse))
        console.print(line, no_wrap=True, overflow="crop")
    svg = console.export_svg(title="soundwatch run")
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is fetched from elsewhere


def _colour(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return COLOURS.get(name, name.replace("bright", "bright_"))


if __name__ == "__main__":
    main()
