"""The journal of a run, read during the run and after a kill."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.fakes import tone
from support.mosquitto import wait_until

RATE_HZ = 16_000
WAIT_S = 120.0
DETECTION = "detection: {min_duration_s: 0.1, cooldown_s: 0.3, update_s: 1}\n"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "low.wav", tone(300, 240, RATE_HZ).T, RATE_HZ)
    path = tmp_path / "config.yaml"
    model = write_band_model(tmp_path / "bands.onnx")
    path.write_text(f"sources: {{low: {{device: {tmp_path}/low.wav}}}}\nmodel: {{file: {model}}}\n{DETECTION}")
    return path


@pytest.fixture
def daemon(config: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [SOUNDWATCH, "run", "--config", str(config)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
        yield running
        running.kill()


def read_until(daemon: subprocess.Popen[bytes], what: bytes) -> bytes:
    assert daemon.stdout is not None
    text = b""
    while what not in text:
        line = daemon.stdout.readline()
        assert line, text
        text += line
    return text


def test_open_events_of_a_killed_run_are_ended_and_numbers_continue(
    config: Path, daemon: subprocess.Popen[bytes]
) -> None:
    seen = lines_of(read_until(daemon, b'"update"'))
    daemon.send_signal(signal.SIGKILL)
    daemon.wait()
    left = lines_of(soundwatch("tail", "--since", "1h").stdout)
    assert left[: len(seen)] == seen
    with subprocess.Popen(
        [SOUNDWATCH, "run", "--config", str(config)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as again:
        text = read_until(again, b'"start"')
        again.send_signal(signal.SIGTERM)
        assert again.stdout is not None
        lines = lines_of(text + again.stdout.read())
    assert [line["seq"] for line in lines] == list(range(left[-1]["seq"] + 1, left[-1]["seq"] + 1 + len(lines)))
    end = lines[0]
    started = next(line for line in seen if line["type"] == "start")
    assert (end["type"], end["reason"], end["id"]) == ("end", "interrupted", started["id"])
    assert end["offset"] == left[-1]["time"]
    assert end["duration_s"] > 0
    assert [line["type"] for line in lines[1:3]] == ["hello", "start"]
    assert lines[2]["id"] != started["id"]
    assert [line["reason"] for line in lines if line["type"] == "end"] == ["interrupted", "shutdown"]


def test_another_program_can_follow_while_it_runs(daemon: subprocess.Popen[bytes]) -> None:
    read_until(daemon, b'"hello"')
    command = [SOUNDWATCH, "tail", "--follow", "--class", "low", "--since", "1h"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        text = read_until(follower, b'"update"')
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=WAIT_S)
    assert [line["type"] for line in lines_of(text)][:2] == ["start", "update"]
    assert follower.returncode == 0
    assert said.strip() == b""


def test_scores_can_be_followed_while_it_runs_and_only_then(daemon: subprocess.Popen[bytes]) -> None:
    read_until(daemon, b'"hello"')
    command = [SOUNDWATCH, "tail", "--scores", "-n", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as follower:
        lines = lines_of(read_until(follower, b'"scores"'))
        follower.send_signal(signal.SIGINT)
        _, said = follower.communicate(timeout=WAIT_S)
    assert said.strip() == b""
    assert set(lines[-1]["scores"]) == {"low", "high"}
    daemon.send_signal(signal.SIGTERM)
    daemon.wait()
    after = soundwatch("tail", "--scores", "-n", "0")
    assert after.returncode == 9
    assert b"only from a running soundwatch" in after.stderr


def test_a_second_run_on_one_journal_is_refused(config: Path, daemon: subprocess.Popen[bytes]) -> None:
    read_until(daemon, b'"hello"')
    second = soundwatch("run", "--config", config)
    assert second.returncode == 9
    assert f"in use by another soundwatch, process {daemon.pid}".encode() in second.stderr
    assert second.stdout == b""
    assert daemon.poll() is None


def test_a_run_without_a_journal_file_writes_none(config: Path, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "low.wav", tone(300, 1, RATE_HZ).T, RATE_HZ)
    done = soundwatch("run", "--config", config, "--journal", "memory")
    assert done.returncode == 0
    assert lines_of(done.stdout)[-1]["type"] == "stats"
    assert not list((tmp_path / "state").glob("*"))
    nothing = soundwatch("tail")
    assert nothing.returncode == 9
    assert b"There is no journal at" in nothing.stderr


def test_a_file_gets_the_lines_that_came_while_it_could_not_be_written_to(config: Path, tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    events = folder / "events.jsonl"
    command = [SOUNDWATCH, "run", "--config", str(config), "-F", f"json:{events}", "-F", "json"]
    log = tmp_path / "log"
    with (
        log.open("wb") as said,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=said) as running,
    ):
        read_until(running, b'"start"')
        wait_until(lambda: events.stat().st_size, "the file's first line")
        rotated = folder.rename(tmp_path / "away") / "events.jsonl"  # one step: no file can be made in between
        wait_until(lambda: b"sink_failed" in log.read_bytes(), "its failure")
        folder.mkdir()
        wait_until(lambda: b"sink_recovered" in log.read_bytes(), "its recovery")
        running.send_signal(signal.SIGTERM)
        running.communicate(timeout=WAIT_S)
    assert running.returncode == 0, log.read_text()
    lines = lines_of(rotated.read_bytes() + events.read_bytes())
    kept = lines_of(soundwatch("tail", "--since", "1h").stdout)
    assert [line["seq"] for line in lines] == [line["seq"] for line in kept]
