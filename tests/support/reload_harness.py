"""A daemon with recordings that reloads its configuration."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of
from support.fakes import tone

RATE_HZ = 16_000
WAIT_S = 120.0
LONG_S = 240.0  # longer than any test, however busy the machine


class Daemon:
    """A `soundwatch run`, and the lines that it has printed so far."""

    def __init__(self, config: Path, *options: str) -> None:
        command = [SOUNDWATCH, "run", "--config", str(config), *options]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        self.lines: list[dict[str, Any]] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines += lines_of(line)

    def of(self, kind: str, **values: Any) -> list[dict[str, Any]]:
        return [
            line
            for line in list(self.lines)
            if line["type"] == kind and all(line[key] == value for key, value in values.items())
        ]

    def until(self, seen: Callable[[], object]) -> None:
        deadline_s = time.monotonic() + WAIT_S
        while not seen():
            assert time.monotonic() < deadline_s, json.dumps(self.lines[-5:])
            assert self.process.poll() is None, self.process.stderr
            time.sleep(0.02)

    def reload(self, state: str) -> dict[str, Any]:
        """Send SIGHUP, and wait for what comes of it."""
        before = len(self.of("health", reason="configuration"))
        self.process.send_signal(signal.SIGHUP)
        self.until(lambda: len(self.of("health", reason="configuration")) > before)
        told = self.of("health", reason="configuration")[-1]
        assert told["state"] == state, told
        return told

    def kill(self) -> None:
        self.process.kill()
        self._reader.join(WAIT_S)  # before its pipe is closed

    def end(self) -> str:
        self.process.send_signal(signal.SIGTERM)
        assert self.process.wait(WAIT_S) == 0
        self._reader.join(WAIT_S)
        assert self.process.stderr is not None
        said = self.process.stderr.read().decode()
        assert "Traceback" not in said
        return said


@contextmanager
def running(config: Path, *options: str) -> Iterator[Daemon]:
    """Run a daemon until its first event, and kill it at the end if it still runs."""
    daemon = Daemon(config, *options)
    with daemon.process:
        try:
            daemon.until(lambda: daemon.of("hello"))
            yield daemon
        finally:
            daemon.kill()


@cache
def _recordings() -> dict[str, bytes]:
    """Two long tones as files of sound."""
    made = {}
    for name, hz in (("low", 300), ("high", 3000)):
        file = io.BytesIO()
        soundfile.write(file, tone(hz, LONG_S, RATE_HZ).T, RATE_HZ, format="WAV")
        made[name] = file.getvalue()
    return made


class Place:
    """A folder with recordings, a model and a configuration of them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.path = folder / "config.yaml"
        self.model = write_band_model(folder / "bands.onnx")
        for name, recording in _recordings().items():
            (folder / f"{name}.wav").write_bytes(recording)

    def write(self, sources: tuple[str, ...] = ("low",), detection: str = "", more: str = "") -> None:
        named = ", ".join(f"{name}: {{device: {self.folder}/{name}.wav}}" for name in sources)
        self.path.write_text(
            f"sources: {{{named}}}\nmodel: {{file: {self.model}}}\n"
            f"detection: {{min_duration_s: 0.1, cooldown_s: 0.3, update_s: 1{detection}}}\n{more}"
        )
