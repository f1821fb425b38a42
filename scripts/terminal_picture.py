"""Draws the documentation's pictures of the views on a terminal: what real runs of the demo scene leave on a real one.

Source: the program runs on a pseudo-terminal, pyte keeps its screen, rich writes that as SVG.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import pyte
import soundfile
from rich.console import Console
from rich.style import Style
from rich.text import Text

from soundwatch.daemon.capture.demo.scene import demo_scene

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "pictures"
FLEET = ("gate-north", "gate-south", "school", "tram-stop")
COLUMNS, ROWS = 100, 18
SCENE_S = 60.0
PROGRAM = str(Path(sys.executable).with_name("soundwatch"))
COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow"}  # as pyte calls them

sys.path.insert(0, str(ROOT / "tests"))
from support.mosquitto import Mosquitto  # noqa: E402  # the tests' own
from support.ports import free_port  # noqa: E402
from support.pty_terminal import Terminal  # noqa: E402


def main() -> None:
    one_machine()
    many_machines()


def one_machine() -> None:
    """`soundwatch run`."""
    with tempfile.TemporaryDirectory() as folder:
        street = Path(folder) / "street.wav"
        soundfile.write(street, demo_scene(44_100, SCENE_S).T, 44_100)
        (Path(folder) / "config.yaml").write_text("node: balcony\njournal: {path: memory}\n")
        words = [PROGRAM, "run", "--config", "config.yaml", "--device", "street.wav"]
        terminal = Terminal(words, COLUMNS, ROWS, cwd=folder, stderr=subprocess.DEVNULL)
        try:
            terminal.wait_for(lambda lines: sum("decay" in line for line in lines) >= 1 and _has_active_event(lines))
            (PICTURES / "terminal.svg").write_text(drawn(terminal.screen, "soundwatch run"), encoding="utf-8")
            os.killpg(terminal.process.pid, signal.SIGINT)
            terminal.end()
        finally:
            terminal.close()


def many_machines() -> None:
    """Run `soundwatch fleet watch` with its own broker and four daemons, one of which is killed."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        broker = Mosquitto(Path(folder), free_port())
        stack.callback(broker.kill)
        words = [PROGRAM, "fleet", "watch", "--broker", f"mqtt://{broker.address}", "--store", "fleet.db"]
        terminal = Terminal(words, COLUMNS, ROWS, cwd=folder, stderr=subprocess.DEVNULL)
        stack.callback(terminal.close)
        terminal.wait_for(lambda lines: "0 machines" in lines[0])
        daemons = []
        for name in FLEET:
            config = Path(folder) / f"{name}.yaml"
            sink = f"mqtt://{broker.address},fleet=1,report_s=1"
            config.write_text(f"node: {name}\njournal: {{path: {name}.db}}\nsinks: ['{sink}']\n")
            command = [PROGRAM, "run", "--config", str(config), "--device", "demo"]
            daemons.append(subprocess.Popen(command, cwd=folder, stderr=subprocess.DEVNULL))
            stack.callback(daemons[-1].kill)
            time.sleep(2)
        terminal.wait_for(lambda lines: sum("siren at demo" in line for line in lines) == len(FLEET))
        daemons[1].kill()
        terminal.wait_for(lambda lines: any("It was killed" in line for line in lines) and _heard(lines))
        (PICTURES / "fleet.svg").write_text(drawn(terminal.screen, "soundwatch fleet watch"), encoding="utf-8")
        os.killpg(terminal.process.pid, signal.SIGINT)
        terminal.end()


def _heard(lines: list[str]) -> bool:
    return sum("at demo" in line for line in lines) >= 2


def _has_active_event(lines: list[str]) -> bool:
    return any(line.endswith("active") for line in lines)


def drawn(screen: pyte.Screen, title: str) -> str:
    """Draw a screen as SVG."""
    console = Console(width=screen.columns, record=True, file=open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
    for row in range(screen.lines):
        line = Text()
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            line.append(cell.data, Style(color=_color(cell.fg), bold=cell.bold, reverse=cell.reverse))
        console.print(line, no_wrap=True, overflow="crop")
    svg = console.export_svg(title=title)
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)  # nothing is fetched from elsewhere


def _color(name: str) -> str | None:
    if name == "default":
        return None
    if len(name) == 6 and all(letter in "0123456789abcdef" for letter in name):
        return f"#{name}"
    return COLOURS.get(name, name.replace("bright", "bright_"))


if __name__ == "__main__":
    main()
