"""Count the files that one block of sound runs through to become a JSON line, live and in replay.

    .venv/bin/python scripts/block_path.py [--list]

Conventions: counted is each soundwatch file of which a function runs between the arrival of a block and the writing of
the event line that it causes, in whatever thread: the recording starts with the first block after `hello` and ends when
the first `start` line is in the file. Live is the whole daemon on the demo scene with `-F json:FILE` and a journal in
memory; replay is the same scene from a file.
Does not: count the standard library or other packages.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

import soundfile

from soundwatch.daemon.app.daemon import Daemon
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.app.replay import replay
from soundwatch.daemon.capture.demo.scene import RATE_HZ, demo_scene
from soundwatch.daemon.config.config import Config, JournalConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.diagnostics.benchmark import error_logger
from soundwatch.daemon.sinks.file import FileSink

LIMITS: Final = {"live": 25, "replay": 15}
_PACKAGE: Final = "soundwatch/daemon/"


class PathRecorder:
    """A profile function that records files while it is on; it is on from `hello` to the first `start` line."""

    def __init__(self) -> None:
        self.files: dict[str, None] = {}
        self._on = False
        self._write = FileSink.write

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        """Record the file of a function that is entered."""
        del argument
        name = frame.f_code.co_filename
        if self._on and event == "call" and _PACKAGE in name:
            self.files[name.partition(_PACKAGE)[2]] = None

    def run(self, work: Callable[[], object]) -> list[str]:
        """Run some work with the profile function in every thread, and return the files in the order of their use."""

        def write(sink: FileSink, line: bytes) -> None:
            self._write(sink, line)
            if b'"type":"hello"' in line:
                self._on = True
            elif b'"type":"start"' in line and self._on:
                self._on = False
                os.kill(os.getpid(), signal.SIGTERM)

        FileSink.write = write  # type: ignore[assignment,method-assign]
        threading.setprofile(self)
        sys.setprofile(self)
        try:
            work()
        finally:
            sys.setprofile(None)
            threading.setprofile(None)
            FileSink.write = self._write  # type: ignore[method-assign]
        return list(self.files)


def block_paths() -> dict[str, list[str]]:
    """Return the files of the live path and of the replay path."""
    with tempfile.TemporaryDirectory() as folder:
        scene = Path(folder, "scene.wav")
        soundfile.write(scene, demo_scene(seconds=20.0).T, RATE_HZ)
        return {
            "live": PathRecorder().run(lambda: _live(Path(folder, "live.jsonl"))),
            "replay": PathRecorder().run(lambda: _replay(scene, Path(folder, "replay.jsonl"))),
        }


def _live(out: Path) -> None:
    config = Config(journal=JournalConfig(path="memory"), sinks=(f"json:{out}",))
    run = RunConfig(config, {"demo": SourceConfig(device="demo")})
    Daemon(run, lambda _: run, error_logger()).run()


def _replay(scene: Path, out: Path) -> None:
    replay(Config(sinks=(f"json:{out}",)), [scene], 0, error_logger())


def main() -> int:
    """Print the counts, and fail where one is above its limit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--list", action="store_true", help="Print the files too.")
    listed = parser.parse_args().list
    paths = block_paths()
    for name, files in paths.items():
        print(f"{name}: {len(files)} files, at most {LIMITS[name]}")
        for file in files if listed else ():
            print(f"  {file}")
    return int(any(len(files) > LIMITS[name] for name, files in paths.items()))


if __name__ == "__main__":
    sys.exit(main())
