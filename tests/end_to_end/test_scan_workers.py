"""Workers of a scan that are killed, crash or are stopped."""

from __future__ import annotations

import importlib.util
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import soundfile

from soundwatch.daemon.config.config import ModelConfig
from soundwatch.daemon.inference.classifier import load_classifier_file
from soundwatch.daemon.scan.chunks import Chunk, ChunkPolicy, plan_chunks
from soundwatch.daemon.scan.discover import find_recordings
from soundwatch.daemon.scan.process_pool import MAX_TRIES, ProcessPool
from soundwatch.daemon.scan.worker import ScoringTask, score_chunk
from support.band_model import write_band_model
from support.crashing_tasks import crash_on_second_chunk
from support.fakes import SMALL_CONTRACT, silence, tone
from support.processes import PATIENCE_S, descendants, wait_for

ON_LINUX = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="finds processes in Linux's /proc")


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_band_model(tmp_path / "bands.onnx")


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


@pytest.fixture(scope="module")
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


@ON_LINUX
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_stop_interrupts_the_tasks_of_a_ray_cluster(
    task: ScoringTask,
    long_chunks: list[Chunk],
    ray_workers: object,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from soundwatch.daemon.scan import ray_pool

    state = tmp_path / "state"

    def search_forever(task: ScoringTask, chunk: Chunk) -> None:
        state.write_text("begun")
        try:
            while True:
                time.sleep(0.01)
        except KeyboardInterrupt:
            state.write_text("interrupted")
            raise

    assert isinstance(ray_workers, ray_pool.RayPool)
    monkeypatch.setattr(ray_pool, "score_chunk", search_forever)
    assert list(ray_workers.score_all(task, iter(long_chunks[:1]), state.exists)) == []
    wait_for(lambda: state.read_text() == "interrupted", "the task is interrupted")


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
