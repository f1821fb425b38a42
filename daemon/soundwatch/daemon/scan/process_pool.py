"""Worker processes on this machine.

Conventions: each worker is a pool of one process, so the chunk of a crashed process is known. A chunk that crashed its
worker `MAX_TRIES` times counts as failed; any other chunk is scored again. Workers ignore Ctrl-C, which the terminal
sends to every process, and exit when their parent process ends.
Does not: share memory: a worker receives a path and returns scores.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Final

from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk

MAX_TRIES: Final = 3


class ProcessPool:
    """Processes that score chunks.

    Args:
        workers: Number of processes.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def score_all(
        self, task: ScoringTask, chunks: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Yield chunks with their scores as they are computed; start no further chunk once `stopping` is true.

        Raises:
            SoundwatchError: A worker cannot load or run the model.
        """
        idle = [_worker() for _ in range(self._workers)]
        running: dict[Future[ChunkScores], tuple[ProcessPoolExecutor, Chunk, int]] = {}
        retries: list[tuple[Chunk, int]] = []
        try:
            while True:
                while idle and not stopping():
                    chunk, tries = retries.pop() if retries else (next(chunks, None), 0)
                    if chunk is None:
                        break
                    worker = idle.pop()
                    running[worker.submit(score_chunk, task, chunk)] = (worker, chunk, tries + 1)
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    worker, chunk, tries = running.pop(done)
                    try:
                        scores = done.result()
                    except BrokenProcessPool:
                        worker.shutdown()
                        idle.append(_worker())
                        if tries < MAX_TRIES:
                            retries.append((chunk, tries))
                            continue
                        scores = worker_crash_reason(chunk, tries)
                    else:
                        idle.append(worker)
                    yield chunk, scores
        finally:
            for worker in [*idle, *(worker for worker, _, _ in running.values())]:
                worker.shutdown(wait=False, cancel_futures=True)


def worker_crash_reason(chunk: Chunk, tries: int) -> ChunkScores:
    """Return the result of a chunk that crashed every worker."""
    return ChunkScores(
        provider="",
        end_sample=0,
        failure=f"{chunk.path} crashed the process that read it {tries} times. The file may be damaged or malicious, "
        "or there is too little memory; convert it, e.g. with `ffmpeg -i IN OUT.wav`, and scan the result.",
    )


def _worker() -> ProcessPoolExecutor:
    # Spawned, since a fork would copy locks that threads of ONNX Runtime or of the caller hold.
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_become_worker)


def _become_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """Exit when the parent has ended; a worker holds both ends of its pipe, so it would see no end of file."""
    with contextlib.suppress(OSError):
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
    os._exit(0)
