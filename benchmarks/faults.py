"""Faults done to microphones, and what the daemon makes of each.

Run `python benchmarks/faults.py` (three minutes; needs PulseAudio, see tests/virtual_microphone.py); it writes
results/faults.json.

A low tone, on and off, is played into a virtual microphone all the time. It goes through the daemon's own capture,
engine and journal, with a small model that knows a low and a high tone. Meanwhile a fault is injected, and mended.

Conventions: `noticed` is from the injection to the `lost` line, `recovered` from the mending to the `back` line, or
from the `lost` line where the daemon itself has to mend it. Missing sound is counted twice: as the blocks account
for it, and in truth, which is how much later than before the blocks come for what they hold (the least of ten blocks
each, since deliveries are late by chance: right to some 50 ms). An event is wrong if it is of the high tone, starts
before an earlier one has ended, has no end, or comes out of order.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon import __version__
from soundwatch.daemon.capture import open_lasting
from soundwatch.daemon.classify import open_classifier
from soundwatch.daemon.clocks import WallClock
from soundwatch.daemon.config import DetectionConfig
from soundwatch.daemon.engine import Engine
from soundwatch.daemon.listen import Ears, Listening
from soundwatch.daemon.plight import LiveSource, Plight, Quality
from soundwatch.daemon.relay import Relay
from soundwatch.daemon.rules import rules_for, thresholds
from soundwatch.daemon.types import Block, SourceInfo
from soundwatch.training.machine import processor

ROOT: Final = Path(__file__).resolve().parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "faults.json"
AWAY_S: Final = 5.0
BEFORE_S: Final = 3.0
AFTER_S: Final = 4.0
GIVE_UP_S: Final = 30.0
BLOCKS: Final = 10

sys.path.insert(0, str(ROOT / "tests"))
from band_model import write_band_model  # noqa: E402 -- the tests' own
from virtual_microphone import RATE_HZ, VirtualMicrophone  # noqa: E402


class Tapped:
    """A source whose blocks are noted as they pass."""

    def __init__(self, source: LiveSource) -> None:
        self.source = source
        self.lags_s: list[float] = []
        self.lost_s = 0.0
        self._heard_s = 0.0

    @property
    def info(self) -> SourceInfo:
        """As the source has it."""
        return self.source.info

    @property
    def start_unix_ns(self) -> int:
        """As the source has it."""
        return self.source.start_unix_ns

    def blocks(self) -> Iterator[Block | Plight | Quality]:
        """As the source gives them."""
        for each in self.source.blocks():
            if isinstance(each, Block) and each.samples.shape[1]:
                self._heard_s += each.samples.shape[1] / each.rate_hz
                self.lost_s += each.lost_samples / each.rate_hz
                self.lags_s.append(time.monotonic() - self._heard_s)
            yield each

    def stop(self) -> None:
        """As the source does."""
        self.source.stop()

    @property
    def process(self) -> int:
        """The capture process that is running."""
        return int(self.source._source._source._process.pid)  # type: ignore[attr-defined]


@dataclass(slots=True)
class Noted:
    """A sink that notes when each line came."""

    name: str = "noted"
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def write(self, line: bytes) -> None:
        """Keep it."""
        self.lines.append((time.monotonic(), json.loads(line)))

    def close(self) -> None:
        """Nothing is held."""

    def wait_for(self, state: str, since_s: float) -> float:
        """When a source's `health` line of that state came."""
        give_up_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_s:
            for at_s, line in list(self.lines):
                if at_s >= since_s and line.get("state") == state and line["source"] == "mic0":
                    return at_s
            time.sleep(0.005)
        raise TimeoutError(f"no {state} within {GIVE_UP_S:g} s")


@dataclass(slots=True)
class Scene:
    """What a fault is done to."""

    server: VirtualMicrophone
    tapped: Tapped
    tone: Path
    players: list[Any] = field(default_factory=list)

    def play(self, name: str) -> None:
        """Play the low tone into a microphone from now on."""
        self.players.append(self.server.start_playing(self.tone, name))


def restart(scene: Scene) -> None:
    """Start the server again, with its microphones and what sounds at them."""
    scene.server.start()
    scene.play("vmic")


def replug(scene: Scene, rate_hz: int = RATE_HZ) -> None:
    """Plug the second microphone in again."""
    scene.server.plug_in("yard", rate_hz)
    scene.play("yard")


def nothing(_: Scene) -> None:
    """The daemon mends it by itself."""


def to_process(number: int) -> Callable[[Scene], None]:
    """Send a signal to the capture process."""
    return lambda scene: os.kill(scene.tapped.process, number)


def suspend(number: int) -> Callable[[Scene], None]:
    """Make the source deliver nothing, or with 0 deliver again."""

    def do(scene: Scene) -> None:
        scene.server._ask("pactl", "suspend-sink", "vmic", str(number))

    return do


FAULTS: Final[tuple[tuple[str, str, Callable[[Scene], None], float, Callable[[Scene], None]], ...]] = (
    ("sound server killed, started again", "vmic", lambda scene: scene.server.kill(), AWAY_S, restart),
    ("microphone unplugged, plugged in again", "yard", lambda scene: scene.server.unplug("yard"), AWAY_S, replug),
    (
        "the same, at another rate",
        "yard",
        lambda scene: scene.server.unplug("yard"),
        AWAY_S,
        lambda scene: replug(scene, 16_000),
    ),
    (
        "sound server frozen (SIGSTOP), going on",
        "vmic",
        lambda scene: scene.server.stop(),
        AWAY_S,
        lambda scene: scene.server.cont(),
    ),
    ("microphone that delivers nothing, and does again", "vmic", suspend(1), AWAY_S, suspend(0)),
    ("capture process killed", "vmic", to_process(signal.SIGKILL), 0.0, nothing),
    ("capture process frozen", "vmic", to_process(signal.SIGSTOP), 0.0, nothing),
)


def endure(microphone: str, inject: Callable[[Scene], None], away_s: float, mend: Callable[[Scene], None]) -> Any:
    """One fault, and what was made of it."""
    home = Path(tempfile.mkdtemp(prefix="soundwatch-"))  # a socket's path has to be short
    server = VirtualMicrophone(home)
    os.environ.update(server.env)
    soundfile.write(home / "low.wav", low_tone(120.0), RATE_HZ, subtype="PCM_16")
    if microphone == "yard":
        server.plug_in("yard")
    tapped = Tapped(open_lasting("mic0", f"pulse:{microphone}.monitor"))
    steady = Tapped(open_lasting("steady", "pulse:vmic.monitor"))
    scene, sink = Scene(server, tapped, home / "low.wav"), Noted()
    listenings = [Listening(tapped), Listening(steady)] if microphone == "yard" else [Listening(tapped)]
    engine = threading.Thread(target=Engine(ears_of(sink, home), lambda *_, **__: None).run, args=(listenings,))
    engine.start()
    try:
        while not tapped.lags_s:
            time.sleep(0.01)
        scene.play(microphone)
        time.sleep(BEFORE_S)
        lag_s, lost_s = min(tapped.lags_s[-BLOCKS:]), tapped.lost_s
        injected_s = time.monotonic()
        inject(scene)
        noticed_s = sink.wait_for("lost", injected_s)
        time.sleep(max(0.0, injected_s + away_s - time.monotonic()))
        mended_s = time.monotonic() if away_s else noticed_s
        mend(scene)
        recovered_s = sink.wait_for("back", mended_s)
        time.sleep(AFTER_S)
        true_s, accounted_s = min(tapped.lags_s[-BLOCKS:]) - lag_s, tapped.lost_s - lost_s
    finally:
        for listening in listenings:
            listening.stop()
        engine.join(GIVE_UP_S)
        steady.stop()
        for player in scene.players:
            player.kill()
            player.wait()
        server.kill()
        shutil.rmtree(home, ignore_errors=True)
    return {
        "noticed_s": round(noticed_s - injected_s, 2),
        "recovered_s": round(recovered_s - mended_s, 2),
        "missing_accounted_s": round(accounted_s, 2),
        "missing_true_s": round(true_s, 2),
        "other_lost_s": round(steady.lost_s, 2) if len(listenings) > 1 else None,
        "events": sum(line["type"] == "start" for _, line in sink.lines),
        "wrong_events": sum(
            wrong_events([line for _, line in sink.lines if line["source"] == source]) for source in ("mic0", "steady")
        ),
    }


def low_tone(seconds: float) -> Any:
    """A tone of 300 Hz (S, 1) that is on for a second and off for another, so that there are events."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    ramp = np.clip(20 * np.sin(np.pi * time_s), 0, 1)
    return (0.5 * ramp * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32)[:, None]


def wrong_events(lines: list[dict[str, Any]]) -> int:
    """How many of a source's events cannot be right."""
    wrong, open_id, latest = 0, None, ""
    for line in lines:
        if line["type"] not in ("start", "update", "end"):
            continue
        fits = line["id"] != open_id if line["type"] == "start" else line["id"] == open_id
        fits = fits and (open_id is None or line["type"] != "start")
        wrong += line["class"] != "low" or not fits or line["time"] < latest or line["onset"] > line["time"]
        open_id, latest = None if line["type"] == "end" else line["id"], line["time"]
    return wrong + (open_id is not None)


def ears_of(sink: Noted, folder: Path) -> Ears:
    """All but the source."""
    classifier = open_classifier(str(write_band_model(folder / "bands.onnx")), "cpu")
    rules = rules_for(DetectionConfig(min_duration_s=0.1, cooldown_s=0.3, update_s=0.5), classifier.contract)
    journal = Relay([sink], lambda *_, **__: None)
    return Ears("faults", classifier, rules, thresholds(rules, classifier.contract.labels), WallClock(), journal)


def main() -> None:
    """Do every fault, several times, and write down what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=3, help="how often each [default: 3]")
    times = parser.parse_args().times
    faults = []
    for name, microphone, inject, away_s, mend in FAULTS:
        runs = [endure(microphone, inject, away_s, mend) for _ in range(times)]
        faults.append({"name": name, "runs": runs})
        print(name, *runs, sep="\n  ", flush=True)
    system, command = f"{platform.system()} {platform.machine()}", f"python benchmarks/faults.py --times {times}"
    machine = {"processor": processor(), "cores": os.cpu_count(), "system": system, "python": platform.python_version()}
    results = {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "version": __version__,
        "machine": machine,
        "faults": faults,
    }
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
