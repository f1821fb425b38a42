"""Scans by the whole program, with real processes that are killed."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.core.config import ModelConfig
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.process_pool import MAX_TRIES, ProcessPool
from soundwatch.daemon.scan.worker import ScoringTask, score_chunk
from support.band_model import write_band_model
from support.cli_runner import SOUNDWATCH, lines_of, soundwatch
from support.crashing_tasks import crash_on_second_chunk
from support.fakes import SMALL_CONTRACT, silence, tone

PATIENCE_S = 60
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


def wait_for(happened: Callable[[], object], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < deadline, what
        time.sleep(0.005)


def descendants(pid: int) -> set[int]:
    """Return the descendants of a process, from Linux's /proc."""
    children: dict[int, set[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            after_name = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if after_name[0] != "Z":
            children.setdefault(int(after_name[1]), set()).add(int(stat.parent.name))
    found, fresh = set[int](), {pid}
    while fresh:
        fresh = set().union(*(children.get(parent, set()) for parent in fresh)) - found
        found |= fresh
    return found


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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


# Workers that crash: real processes score chunks through the interface that the program uses.


@pytest.fixture
def long_chunks(tmp_path: Path) -> list[Chunk]:
    """Write a recording of twenty minutes and divide it into long chunks."""
    path = tmp_path / "long.wav"
    scene = np.concatenate([tone(300, 2.0), silence(3.0), tone(3000, 1.0)], axis=1)
    soundfile.write(path, np.tile(scene, 200).T, 8000)
    return list(plan_chunks(find_recordings([path]).recordings[0], SMALL_CONTRACT.features, ChunkPolicy(0, 1600)))


@pytest.fixture
def task(model: Path) -> ScoringTask:
    return ScoringTask(ModelConfig(file=str(model), provider="cpu"), load_classifier_file(model, "cpu").content_sha256)


def never() -> bool:
    return False


class Killer(threading.Thread):
    """Kills the first process that `victims` finds."""

    def __init__(self, victims: Callable[[], set[int]]) -> None:
        super().__init__(daemon=True)
        self._victims = victims
        self.killed: int | None = None

    def run(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.killed is None and time.monotonic() < deadline:
            for pid in self._victims():
                os.kill(pid, signal.SIGKILL)
                self.killed = pid
                return
            time.sleep(0.005)


@ON_LINUX
def test_killing_a_worker_does_not_change_the_scores(task: ScoringTask, long_chunks: list[Chunk]) -> None:
    alone = {chunk: score_chunk(task, chunk) for chunk in long_chunks}
    results = ProcessPool(2).score_all(task, iter(long_chunks), never)
    done = dict([next(results)])
    killer = Killer(lambda: {pid for pid in descendants(os.getpid()) if b"spawn_main" in _command(pid)})
    killer.start()
    done |= dict(results)
    killer.join()
    assert killer.killed is not None
    assert done == alone


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def test_a_chunk_that_crashes_every_worker_fails_and_the_others_succeed(
    task: ScoringTask, long_chunks: list[Chunk], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.scan.process_pool.score_chunk", crash_on_second_chunk)
    done = dict(ProcessPool(2).score_all(task, iter(long_chunks), never))
    assert set(done) == set(long_chunks)
    failed = [chunk for chunk, scores in done.items() if scores.failure is not None]
    assert failed == [long_chunks[1]]
    assert f"crashed the process that read it {MAX_TRIES} times" in str(done[long_chunks[1]].failure)


@pytest.mark.slow
def test_a_stop_ends_the_search_of_a_worker_through_a_long_file(task: ScoringTask, tmp_path: Path) -> None:
    file = tmp_path / "long.flac"
    soundfile.write(file, np.zeros(16_000), 16_000)
    os.truncate(file, 1 << 40)  # zeros, which take an hour to search
    answers = iter([False])  # at the start; then the scan stops
    results = ProcessPool(1).score_all(task, iter([Chunk(file)]), lambda: next(answers, True))
    assert list(results) == []


@pytest.fixture
def ray_workers() -> Iterator[object]:
    """Start a Ray cluster on this machine with two workers, on loopback."""
    if importlib.util.find_spec("ray") is None:
        pytest.skip("ray is not installed: pip install '.[ray]'")
    from soundwatch.daemon.scan.ray_pool import RayPool

    workers = RayPool(None, 2)
    yield workers
    workers.close()


@ON_LINUX
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_killing_a_worker_of_a_ray_cluster_does_not_change_the_scores(
    task: ScoringTask, long_chunks: list[Chunk], ray_workers: object
) -> None:
    from soundwatch.daemon.scan.ray_pool import RayPool

    assert isinstance(ray_workers, RayPool)
    alone = {chunk: score_chunk(task, chunk) for chunk in long_chunks}
    results = ray_workers.score_all(task, iter(long_chunks), never)
    done = dict([next(results)])
    killer = Killer(lambda: {pid for pid in descendants(os.getpid()) if _command(pid).startswith(b"ray::score")})
    killer.start()
    done |= dict(results)
    killer.join()
    assert killer.killed is not None
    assert done == alone
    assert _addresses_listened_on(descendants(os.getpid())) == {"0100007F"}, "loopback only"


def _addresses_listened_on(pids: set[int]) -> set[str]:
    """Return addresses as in Linux's /proc/net, in hexadecimal, with IPv4 mapped into IPv6 as IPv4."""
    sockets: set[str] = set()
    for pid in pids:
        for descriptor in Path(f"/proc/{pid}/fd").glob("*"):
            try:
                sockets.add(str(descriptor.readlink()))
            except OSError:
                continue
    rows = [
        line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
    ]
    listening = [row for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert listening
    return {row[1].partition(":")[0][-8:] for row in listening}
