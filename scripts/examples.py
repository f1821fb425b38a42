"""Example lines in README.md and docs/events.md, from real runs of the program.

Usage: python scripts/examples.py [--model MODEL]

Most come from `soundwatch replay` of the demo scene; the `gap` from a virtual microphone while the
program is stopped for twenty seconds, which is what a machine that is far too busy does to it; `health` from the
program's engine with a network that is made to take longer than a hop.

Conventions: each shown line is replaced by one of its type; a line of a type that no run here prints is left. The
event shown is one that is truly in the scene.
Does not: check them; tests/end_to_end/test_docs.py does, at every run.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from soundwatch.daemon.capture.demo.scene import DEMO_SOUNDS, RATE_HZ, Demo, demo_scene
from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.daemon.core.time.clock import WallClock
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.sinks.direct import DirectWriter

ROOT: Final = Path(__file__).resolve().parents[1]
PAGES: Final = (ROOT / "README.md", ROOT / "docs" / "events.md", ROOT / "docs" / "start.md")
SOUNDWATCH: Final = str(Path(sys.executable).with_name("soundwatch"))
CONFIG: Final = "node: balcony\ndetection: {update_s: 3}\nlog: {level: error}\n"
STOPPED_S: Final = 20.0
SLOW_S: Final = 1.6

_VERSION = re.compile(r'("version":"\d+\.\d+\.\d+)[^"]*"')  # without what counts commits
_SHOWN = re.compile(
    r'^\{"schema":(?!.*"(?:away_s|faults|shift_ms|bytes)").*"type":"(\w+)".*$', re.M
)  # a source's health and clips are left alone


def main() -> None:
    """Replace every line that the pages show."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="urban", help="a shipped model or a file [default: urban]")
    model = parser.parse_args().model
    model = str(Path(model).resolve()) if Path(model).exists() else model
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "config.yaml").write_text(CONFIG)
        soundfile.write(Path(folder, "street.wav"), demo_scene().T, RATE_HZ, subtype="PCM_16")
        lines = replayed(Path(folder), model) | {"gap": gap(Path(folder), model), "health": health(model)}
    for page in PAGES:
        page.write_text(_SHOWN.sub(lambda shown: _renewed(shown, lines), page.read_text("utf-8")), encoding="utf-8")


def _renewed(shown: re.Match[str], lines: dict[str, str]) -> str:
    """Select the line to show: a run's of a type, and of a reason for `health`."""
    line = lines.get(shown[1], shown[0])
    alike = shown[1] != "health" or json.loads(line)["reason"] == json.loads(shown[0])["reason"]
    return line if alike else shown[0]


def replayed(folder: Path, model: str) -> dict[str, str]:
    """Return a line of each type that a replay of the scene prints, by type; those of events are of one event."""
    command = [SOUNDWATCH, "replay", "street.wav", "--config", "config.yaml", "--model", model]
    printed = subprocess.run(command, cwd=folder, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    output = [(json.loads(text), text) for text in printed]
    true_labels = {sound.label for sound in DEMO_SOUNDS}
    ids = [line["id"] for line, _ in output if line["type"] == "update" and line["class"] in true_labels]
    if not ids:
        sys.exit("No event that is truly in the scene lasted long enough for an update; nothing is changed.")
    lines = {line["type"]: text for line, text in output if line.get("id") in (None, ids[0])}
    return {type_: _VERSION.sub(r'\1"', text) for type_, text in lines.items()}


def gap(folder: Path, model: str) -> str:
    """Return the line of a loss at a real microphone."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.virtual_microphone import VirtualMicrophone  # the one that the tests hear through

    home = Path(tempfile.mkdtemp(prefix="soundwatch-"))  # a socket's path has to be short
    microphone = VirtualMicrophone(home)
    command = [SOUNDWATCH, "run", "--device", "pulse", "--config", "config.yaml", "--model", model]
    try:
        environment = os.environ | microphone.env
        with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            process.stdout.readline()  # hello: it listens
            playing = microphone.start_playing(folder / "street.wav")
            time.sleep(3)
            process.send_signal(signal.SIGSTOP)
            time.sleep(STOPPED_S)
            process.send_signal(signal.SIGCONT)
            found = next((text for text in process.stdout if _type(text) == "gap"), None)
            process.terminate()
            process.stdout.read()  # until it has said its last
            playing.kill()
            playing.wait()
    finally:
        microphone.kill()
        shutil.rmtree(home, ignore_errors=True)
    if found is None:
        sys.exit("No sound was lost although the program was stopped; nothing is changed.")
    return found.strip()


def _type(text: str) -> Any:
    return json.loads(text)["type"]


@dataclass(frozen=True, slots=True)
class Slow:
    """A network on a machine that is too slow for it."""

    network: Classifier

    @property
    def contract(self) -> ModelContract:
        """Its own."""
        return self.network.contract

    @property
    def provider(self) -> str:
        """Provider of the model."""
        return self.network.provider

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        """Return the scores after a delay."""
        time.sleep(SLOW_S * len(mel_db))
        return self.network.classify(mel_db)


class FirstHealth:
    """A sink that ends the program with the first line about its health."""

    name = "first health"

    def __init__(self) -> None:
        self.line = ""

    def write(self, line: bytes) -> None:
        """Keep that line, and be gone."""
        if b'"type":"health"' in line:
            self.line = line.decode().strip()
            raise BrokenPipeError

    def close(self) -> None:
        """Do nothing."""


def health(model: str) -> str:
    """Return the line of an engine that cannot keep up."""
    network, sink = Slow(load_classifier_file(model)), FirstHealth()
    rules = build_rules(DetectionConfig(), network.contract)
    journal = DirectWriter([sink], error_logger())
    context = EngineContext(
        "balcony", network, rules, thresholds_in_force(rules, network.contract.labels), WallClock(), journal
    )
    with contextlib.suppress(SinkError):
        Engine(context, error_logger()).run([SourceSession(Demo("street"))])
    return sink.line


if __name__ == "__main__":
    main()
