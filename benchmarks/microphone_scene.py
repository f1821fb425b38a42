"""A daemon with a virtual microphone, for benchmarks/microphone_faults.py.

Requires: PulseAudio, see tests/support/virtual_microphone.py.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
import soundfile

from soundwatch.daemon.capture import open_live_source
from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper
from soundwatch.daemon.config.config import DetectionConfig
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import LiveSource, SourceNotice
from soundwatch.daemon.core.time.clock import WallClock
from soundwatch.daemon.detection.rules import build_rules, thresholds_in_force
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.engine import Engine
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.sinks.direct import DirectWriter

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))
from support.band_model import write_band_model
from support.virtual_microphone import RATE_HZ, VirtualMicrophone

BEFORE_S: Final = 3.0
GIVE_UP_S: Final = 30.0


class MeasuredSource(SourceWrapper):
    """A source that measures the delay and the loss of its blocks."""

    def __init__(self, source: LiveSource) -> None:
        super().__init__(source)
        self.lags_s: list[float] = []
        self.lost_s = 0.0
        self._read_s = 0.0

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield the items of the source."""
        for item in self._source.blocks():
            if isinstance(item, Block) and item.samples.shape[1]:
                self._read_s += item.samples.shape[1] / item.rate_hz
                self.lost_s += item.lost_samples / item.rate_hz
                self.lags_s.append(time.monotonic() - self._read_s)
            yield item

    @property
    def process(self) -> int:
        """Return the id of the capture process of the source `default`."""
        children = " ".join(file.read_text("ascii") for file in Path("/proc/self/task").glob("*/children")).split()
        lines = {int(pid): Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0") for pid in children}
        return next(
            pid for pid, line in lines.items() if b"soundwatch.daemon.capture.microphones.capture_worker" in line
        )


@dataclass(slots=True)
class TimedSink:
    """A sink that keeps each line with its time."""

    name: str = "timed"
    lines: list[tuple[float, dict[str, Any]]] = field(default_factory=list)
    open: threading.Event = field(default_factory=threading.Event)

    def write(self, line: bytes) -> None:
        """Keep a line with its time; wait until the sink is open."""
        self.open.wait()
        self.lines.append((time.monotonic(), json.loads(line)))

    def close(self) -> None:
        """Do nothing."""

    def wait_for(self, what: str, since_s: float) -> float:
        """Return the time of the source's `health` line with a state, or of its line with a type."""
        give_up_s = time.monotonic() + GIVE_UP_S
        while time.monotonic() < give_up_s:
            for at_s, line in list(self.lines):
                if at_s >= since_s and what in (line.get("state"), line["type"]) and line["source"] == "mic0":
                    return at_s
            time.sleep(0.005)
        raise TimeoutError(f"no {what} within {GIVE_UP_S:g} s")


@dataclass(slots=True)
class Scene:
    """Parts that a fault is injected into."""

    server: VirtualMicrophone
    source: MeasuredSource
    tone: Path
    sink: TimedSink
    players: list[Any] = field(default_factory=list)

    def play(self, name: str) -> None:
        """Play the low tone into a microphone from now on."""
        self.players.append(self.server.start_playing(self.tone, name))


class Wall:
    """Wall clock of the daemon, with a shift."""

    true_ns = staticmethod(time.time_ns)
    shift_ns = 0


@contextlib.contextmanager
def running_daemon(microphone: str) -> Iterator[tuple[Scene, MeasuredSource, threading.Thread]]:
    """Run the daemon with a microphone that a tone is played into; with `yard`, also with a second microphone.

    The microphone `default` is `vmic` through PortAudio, in a process of its own.
    """
    home = Path(tempfile.mkdtemp(prefix="soundwatch-"))  # a socket's path has to be short
    server = VirtualMicrophone(home)
    os.environ.update(server.env)
    soundfile.write(home / "low.wav", low_tone(600.0), RATE_HZ, subtype="PCM_16")
    if microphone == "yard":
        server.plug_in("yard")
    Wall.shift_ns = 0
    device = microphone if microphone == "default" else f"pulse:{microphone}.monitor"
    source = MeasuredSource(open_live_source("mic0", device))
    steady = MeasuredSource(open_live_source("steady", "pulse:vmic.monitor"))
    sink = TimedSink()
    sink.open.set()
    scene = Scene(server, source, home / "low.wav", sink)
    sessions = [SourceSession(source), SourceSession(steady)] if microphone == "yard" else [SourceSession(source)]
    engine = threading.Thread(target=Engine(build_context(sink, home), error_logger()).run, args=(sessions,))
    engine.start()
    try:
        while not source.lags_s:
            time.sleep(0.01)
        scene.play("yard" if microphone == "yard" else "vmic")
        time.sleep(BEFORE_S)
        yield scene, steady, engine
    finally:
        sink.open.set()
        for session in sessions:
            session.stop()
        engine.join(GIVE_UP_S)
        steady.stop()
        for player in scene.players:
            player.kill()
            player.wait()
        server.kill()
        shutil.rmtree(home, ignore_errors=True)


def low_tone(seconds: float) -> Any:
    """Generate a tone of 300 Hz (S, 1) that is on for a second and off for another, so that there are events."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    ramp = np.clip(20 * np.sin(np.pi * time_s), 0, 1)
    return (0.5 * ramp * np.sin(2 * np.pi * 300 * time_s)).astype(np.float32)[:, None]


def build_context(sink: TimedSink, folder: Path) -> EngineContext:
    """Build all parts of an engine but its sources."""
    classifier = load_classifier_file(str(write_band_model(folder / "bands.onnx")), "cpu")
    rules = build_rules(DetectionConfig(min_duration_s=0.1, cooldown_s=0.3, update_s=0.5), classifier.contract)
    journal = DirectWriter([sink], error_logger())
    return EngineContext(
        "faults", classifier, rules, thresholds_in_force(rules, classifier.contract.labels), WallClock(), journal
    )
