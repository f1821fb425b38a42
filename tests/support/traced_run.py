"""Traces of commands that go on: the view on a terminal, the daemon with each source and sink, and a collector."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import soundfile

from support import loopback_services as services
from support.pty_terminal import Terminal
from support.rtsp_server import TESTS, server_words, why_not
from support.syscall_trace import Trace, end_traced, read_trace, trace_until, traced_words
from support.traced_commands import LIMIT_S, RTSP_PORT, RUN, TERMINAL, WATCH, Bench, TracedCommand, run_configuration

RUN_S: Final = 15  # at least; a library may report its use some seconds after its start


class Services:
    """Everything on loopback that a configuration names, in the bench's network."""

    def __init__(self, bench: Bench) -> None:
        script = str(Path(__file__).with_name("loopback_services.py"))
        self._process = subprocess.Popen(
            bench.network.command([sys.executable, script, str(bench.folder / "services")]),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == b"ready\n", "the services did not start"
        self._all_used = bench.folder / "services" / services.ALL_USED

    def all_used(self) -> bool:
        """Check that each service has received something."""
        return self._all_used.exists()

    def kill(self) -> None:
        """End them at once, if they still run."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def close(self) -> dict[str, int]:
        """End them, and return how much each of them received."""
        answer, _ = self._process.communicate(timeout=30)
        received: dict[str, int] = json.loads(answer)
        return received


def run_until(bench: Bench, command: TracedCommand, done: Callable[[], bool], **options: Any) -> Trace:
    """Trace a continuously running program, and end it with SIGTERM after an expected output."""
    words, folder = words_for(bench, command), bench.trace_folder(command.name)
    return trace_until(words, folder, bench.network, done, cwd=bench.folder, env=bench.variables(), **options)


def words_for(bench: Bench, command: TracedCommand) -> list[str]:
    """Return the words of a command that `end_traced` ends, or a limit."""
    return ["timeout", "--preserve-status", "--foreground", str(LIMIT_S), *bench.program, *command.words]


def run_on_terminal(bench: Bench) -> tuple[Trace, Terminal]:
    """Trace the daemon until its view on a terminal shows the source, and return its calls and the terminal."""
    folder = bench.trace_folder(TERMINAL.name)
    variables = [f"{name}={value}" for name, value in (bench.variables() | {"TERM": "xterm-256color"}).items()]
    words = ["env", "--ignore-environment", *variables, *words_for(bench, TERMINAL)]
    terminal = Terminal(bench.network.command(traced_words(words, folder)), cwd=bench.folder)
    terminal.wait_for(lambda lines: any("demo" in line for line in lines))
    end_traced(terminal.process.pid)
    returncode = terminal.end()
    return read_trace(folder, bench.folder, returncode, terminal.written), terminal


def run_everything(bench: Bench) -> tuple[Trace, Trace, dict[str, int]]:
    """Run the daemon with each source and sink, and a collector.

    Returns:
        The calls of the daemon, those of the collector, and how much each service received.
    """
    (bench.folder / "run.yaml").write_text(run_configuration(bench.folder))
    reachable = Services(bench)
    camera = start_camera(bench)
    reading, writing = os.pipe()
    os.set_blocking(writing, False)  # the daemon stops reading before the feeder stops writing
    # Held open from here, so that neither the daemon nor this process waits for the other to open the pipe.
    named = os.open(bench.folder / "pipe", os.O_RDWR | os.O_NONBLOCK)
    ended = threading.Event()
    feeder = threading.Thread(target=_feed, args=((writing, named), bench.folder / "recording.wav", ended))
    feeder.start()
    begin_s = time.monotonic()

    def done() -> bool:
        if time.monotonic() - begin_s < RUN_S or not reachable.all_used():
            return False
        seen = read_trace(bench.trace_folder(RUN.name), bench.folder).connections
        return camera is None or f"127.0.0.1:{RTSP_PORT}" in seen

    try:
        with ThreadPoolExecutor(1) as executor:
            collector = executor.submit(run_until, bench, WATCH, done)
            daemon = run_until(bench, RUN, done, stdin=reading)
            return daemon, collector.result(), reachable.close()
    finally:
        reachable.kill()
        ended.set()
        feeder.join()
        if camera is not None:
            camera.kill()
            camera.communicate()
        for descriptor in (reading, writing, named):
            os.close(descriptor)


def start_camera(bench: Bench) -> subprocess.Popen[bytes] | None:
    """Start an RTSP server in the bench's network; None where GStreamer is not installed."""
    if why_not():
        return None
    camera = subprocess.Popen(bench.network.command(server_words(RTSP_PORT)), stdout=subprocess.PIPE, cwd=TESTS)
    assert camera.stdout is not None
    assert camera.stdout.readline() == b"ready\n", "the camera ended"
    return camera


def _feed(pipes: tuple[int, ...], recording: Path, ended: threading.Event) -> None:
    """Write a recording's samples to pipes in real time, until it is ended."""
    sound = soundfile.read(recording, dtype="int16")[0].tobytes()
    size = int(services.RATE_HZ * services.PACKET_S) * 2
    while True:
        for start in range(0, len(sound) - size, size):
            for pipe in pipes:
                with contextlib.suppress(BlockingIOError, BrokenPipeError):
                    os.write(pipe, sound[start : start + size])
            if ended.wait(services.PACKET_S):
                return
