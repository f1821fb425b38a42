"""Sinks of the real program that cannot be opened: pipes, sockets, folders, missing folders, ports in use."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, soundwatch
from support.mosquitto import wait_until
from support.ports import free_port

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes"),
]


class Daemon:
    """A `soundwatch run` of the demo scene, with its log in a file."""

    def __init__(self, folder: Path, *sinks: str) -> None:
        self.log_path = folder / "log"
        command = [SOUNDWATCH, "run", "--device", "demo", "--model", str(write_band_model(folder / "band.onnx"))]
        command += ["--journal", str(folder / "journal.db"), *(part for sink in sinks for part in ("-F", sink))]
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log, cwd=folder)

    def logged(self, event: str) -> list[dict[str, Any]]:
        entries = [json.loads(line) for line in self.log_path.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in entries if entry["event"] == event]

    def end(self) -> int:
        """End it as the service manager does; a daemon that ignores it fails the test."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(60)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    started: list[Daemon] = []

    def start(*sinks: str) -> Daemon:
        started.append(Daemon(tmp_path, *sinks))
        return started[-1]

    yield start
    for item in started:
        item.kill()


def seqs(path: Path) -> list[int]:
    return [json.loads(line)["seq"] for line in path.read_text().splitlines()]


def read_lines(pipe: Path, count: int) -> list[dict[str, Any]]:
    """Read lines of a pipe and go."""
    with pipe.open("rb") as reader:
        return [json.loads(reader.readline()) for _ in range(count)]


def test_a_pipe_without_a_reader_delays_nothing_and_each_reader_gets_lines(
    tmp_path: Path, daemon: Callable[..., Daemon]
) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    running = daemon(f"json:{pipe}", f"json:{file}")
    wait_until(lambda: len(seqs(file)) >= 2 if file.exists() else False)
    assert "this pipe has no reader" in running.logged("sink_failed")[0]["reason"]
    first = read_lines(pipe, 2)
    assert [line["seq"] for line in first] == [1, 2]
    second = read_lines(pipe, 1)
    assert second[0]["seq"] >= 1
    assert running.end() == 0
    assert len(running.logged("sink_failed")) <= 2 + len(running.logged("sink_recovered")), "once a failure"


def test_a_stalled_pipe_does_not_delay_the_end(tmp_path: Path, daemon: Callable[..., Daemon]) -> None:
    pipe, file = tmp_path / "pipe", tmp_path / "events.jsonl"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    running = daemon(f"json:{pipe},scores=1", f"json:{file}")
    wait_until(lambda: file.exists() and len(seqs(file)) >= 2)
    assert running.end() == 0
    os.close(reader)


CANNOT_BE_OPENED = ("socket", "folder", "missing folder", "dangling link", "device", "program", "unix", "tcp")


@pytest.fixture(scope="module")
def failures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """Return what one daemon logs of a sink of each kind that cannot be opened, while its file gets lines."""
    folder = tmp_path_factory.mktemp("sinks")
    target, file = {kind: folder / kind.replace(" ", "_") for kind in CANNOT_BE_OPENED}, folder / "events.jsonl"
    target["folder"].mkdir()
    target["dangling link"].symlink_to(folder / "away" / "events.jsonl")
    with (
        socket.socket(socket.AF_UNIX) as bound,
        socket.socket(socket.AF_UNIX) as listening,
        socket.create_server(("127.0.0.1", free_port())) as taken,
    ):
        bound.bind(str(target["socket"]))
        listening.bind(str(target["unix"]))
        listening.listen()
        sinks = {kind: f"json:{path}" for kind, path in target.items()} | {
            "missing folder": f"json:{target['missing folder']}/events.jsonl",
            "device": "json:/dev/full",
            "program": f"command:{target['program']}",
            "unix": f"unix:{target['unix']}",
            "tcp": f"tcp://127.0.0.1:{taken.getsockname()[1]}",
        }
        names = {kind: sink.removeprefix("json:") for kind, sink in sinks.items()}
        running = Daemon(folder, *sinks.values(), f"json:{file}")
        try:
            wait_until(lambda: file.exists() and len(seqs(file)) >= 2)
            wait_until(lambda: {entry["sink"] for entry in running.logged("sink_failed")} >= {*names.values()})
            assert running.end() == 0
        finally:
            running.kill()
    logged = running.logged("sink_failed")
    return {kind: [entry for entry in logged if entry["sink"] == name] for kind, name in names.items()}


@pytest.mark.parametrize("kind", CANNOT_BE_OPENED)
def test_detection_continues_if_a_sink_cannot_be_opened(failures: dict[str, list[dict[str, Any]]], kind: str) -> None:
    assert failures[kind][0]["reason"]


def test_a_file_in_a_folder_created_later_gets_all_lines(tmp_path: Path, daemon: Callable[..., Daemon]) -> None:
    file = tmp_path / "later" / "events.jsonl"
    running = daemon(f"json:{file}")
    wait_until(lambda: running.logged("sink_failed"))
    file.parent.mkdir()
    wait_until(lambda: file.exists() and len(seqs(file)) >= 2)
    assert seqs(file)[:2] == [1, 2]
    assert len(running.logged("sink_recovered")) == 1
    assert running.end() == 0


def test_one_file_under_two_names_is_refused(tmp_path: Path) -> None:
    file, link = tmp_path / "events.jsonl", tmp_path / "link"
    link.symlink_to(file)
    model = write_band_model(tmp_path / "band.onnx")
    done = soundwatch(
        *("run", "--device", "demo", "--model", model, "--journal", tmp_path / "journal.db"),
        *("-F", f"json:{file}", "-F", f"json:{link}"),
    )
    assert done.returncode == 2
    assert b"each place can be written to once" in done.stderr


def test_check_config_finds_a_sink_that_cannot_be_opened(tmp_path: Path) -> None:
    model = write_band_model(tmp_path / "band.onnx")
    config = tmp_path / "config.yaml"
    for sink in (f"json:{tmp_path}/none/events.jsonl", f"json:{tmp_path}", f"command:{tmp_path}/none"):
        config.write_text(f"model: {{file: {model}}}\nsinks: ['{sink}']\n")
        done = soundwatch("check-config", config)
        assert done.returncode == 6, done.stderr.decode()
        assert str(tmp_path).encode() in done.stderr
    assert not (tmp_path / "none").exists()
