"""Scans by the whole program, with real processes that are killed."""

from __future__ import annotations

import re
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soundfile

from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.fakes import silence, tone
from support.processes import PATIENCE_S, descendants, is_running, wait_for

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in Linux's /proc")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """Write twelve recordings of a minute and a half."""
    root = tmp_path / "archive"
    root.mkdir()
    scene = np.concatenate([silence(1.0), tone(300, 2.0), silence(6.0), tone(3000, 2.0)], axis=1)
    for number in range(12):
        soundfile.write(root / f"{number:02d}.wav", np.roll(np.tile(scene, 8), 800 * number).T, 8000)
    return root


def without_file(lines: bytes) -> bytes:
    """Remove the file that a scan's events name."""
    stripped: bytes = re.sub(rb',"file":"[^"]*"', b"", lines)
    return stripped


def test_recordings_of_one_stem_have_names_and_event_ids_of_their_own(model: Path, tmp_path: Path) -> None:
    sound = tone(300, 3, 16_000).T
    for name in ("a/street.wav", "b/street.wav", "a/street.flac", "b/yard.wav", "a-street.wav"):
        path = tmp_path / "archive" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, sound, 16_000)
    done = soundwatch("scan", tmp_path / "archive", "--out", tmp_path / "events.jsonl", "--model", model)
    assert done.returncode == 0, done.stderr
    lines = lines_of((tmp_path / "events.jsonl").read_bytes())
    starts = [line for line in lines if line["type"] == "start"]
    assert len(starts) == len({line["id"] for line in starts}) == len({line["source"] for line in starts}) == 5
    assert {line["file"] for line in starts} == {str(path) for path in (tmp_path / "archive").rglob("*.*")}
    for line in starts:
        hello = next(other for other in lines if other["type"] == "hello" and other["source"] == line["source"])
        assert hello["description"] == line["file"]
    replayed = lines_of(soundwatch("replay", tmp_path / "archive", "--model", model).stdout)
    assert {line["id"] for line in replayed if line["type"] == "start"} == {line["id"] for line in starts}
    twice = lines_of(soundwatch("replay", *[tmp_path / "archive" / "b" / "yard.wav"] * 2, "--model", model).stdout)
    assert [line["type"] for line in twice].count("hello") == 1, "a file that is named twice is read once"


def test_a_scan_prints_the_bytes_of_replay_and_other_formats_hold_the_same_events(
    model: Path, archive: Path, tmp_path: Path
) -> None:
    replayed = soundwatch("replay", *sorted(archive.iterdir()), "--model", model).stdout
    done = soundwatch("scan", archive, "--out", tmp_path / "events.jsonl", "--model", model, "--workers", "2")
    assert (done.returncode, done.stdout) == (0, b"")
    assert without_file((tmp_path / "events.jsonl").read_bytes()) == replayed
    assert soundwatch("scan", archive, "--out", tmp_path / "events.csv", "--model", model).returncode == 0
    rows = (tmp_path / "events.csv").read_text().splitlines()[1:]
    assert [row.split(",")[13] for row in rows] == [line["id"] for line in lines_of(replayed) if line["type"] == "end"]


@ON_LINUX
def test_a_killed_scan_can_be_resumed_and_its_workers_exit(model: Path, archive: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "events.jsonl", tmp_path / "events.jsonl.scan"
    command = ("scan", archive, "--out", out, "--model", model, "--workers", "2")
    one = subprocess.Popen([SOUNDWATCH, *map(str, command)], stderr=subprocess.PIPE)
    wait_for(lambda: cache.exists() and cache.stat().st_size > 10_000, "the cache has scores")
    workers = descendants(one.pid)
    one.kill()
    one.communicate()
    assert workers
    wait_for(lambda: not any(map(is_running, workers)), "workers exit after their parent process")
    before_bytes = cache.stat().st_size
    assert not out.exists()
    done = soundwatch(*command)
    assert done.returncode == 0, done.stderr
    assert without_file(out.read_bytes()) == soundwatch("replay", *sorted(archive.iterdir()), "--model", model).stdout
    assert before_bytes > 10_000
    assert not cache.exists()


def test_a_stopped_scan_logs_its_cache_and_can_be_resumed(model: Path, archive: Path, tmp_path: Path) -> None:
    out, cache = tmp_path / "events.jsonl", tmp_path / "events.jsonl.scan"
    command = ("scan", archive, "--out", out, "--model", model, "--workers", "1")
    one = subprocess.Popen([SOUNDWATCH, *map(str, command)], stderr=subprocess.PIPE)
    wait_for(lambda: cache.exists() and cache.stat().st_size > 5_000, "the cache has scores")
    one.send_signal(signal.SIGTERM)
    assert b"scan_stopped" in one.communicate(timeout=PATIENCE_S)[1]
    assert one.returncode == 0
    assert not out.exists()
    assert soundwatch(*command).returncode == 0
    assert out.exists()


def test_an_unreadable_recording_changes_only_the_exit_code(model: Path, archive: Path, tmp_path: Path) -> None:
    (archive / "05b.wav").write_bytes(b"RIFF")
    done = soundwatch("scan", archive, "--out", tmp_path / "events.jsonl", "--model", model)
    assert done.returncode == 4
    assert b"1 of 13 recordings or folders could not be read to their end" in done.stderr
    assert (tmp_path / "events.jsonl").read_bytes().count(b'"type":"stats"') == 12


@pytest.mark.parametrize(
    ("options", "message", "code"),
    [
        (("--out", "events.txt"), b"names no format", 2),
        (("--out", "events.csv", "--address", "auto"), b"--address auto needs --engine ray", 2),
        (("--out", "events.csv", "--start", "noon"), b"--start noon is no time", 2),
        (("--out", "nowhere/events.csv"), b"nowhere/events.csv.scan cannot be written", 6),
    ],
)
def test_a_wrong_option_is_refused_before_any_work(
    archive: Path, tmp_path: Path, options: tuple[str, ...], message: bytes, code: int
) -> None:
    done = soundwatch("scan", archive, *options, cwd=tmp_path)
    assert (done.returncode, message in done.stderr) == (code, True), done.stderr
