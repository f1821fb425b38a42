"""Workers that are processes of this machine.

Conventions: each worker is a pool of one, so that it is known which piece a dead one had. A piece that has ended its
worker `MOST_TRIES` times is given up; every other is tried again, whoever died. Workers ignore Ctrl-C, which the
terminal sends to all, and end with the program that started them, however it ends.
Does not: share memory: a worker is told a path and gives scores.
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

MOST_TRIES: Final = 3


class ProcessPool:
    """Processes that score pieces.

    Args:
        workers: How many.
    """

    def __init__(self, workers: int) -> None:
        self._workers = workers

    def score_all(
        self, task: ScoringTask, pieces: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Each piece with its scores, as they are done; no new one is begun once it is `stopping`.

        Raises:
            SoundwatchError: A worker cannot do its work at all.
        """
        idle = [_worker() for _ in range(self._workers)]
        running: dict[Future[ChunkScores], tuple[ProcessPoolExecutor, Chunk, int]] = {}
        again: list[tuple[Chunk, int]] = []
        try:
            while True:
                while idle and not stopping():
                    piece, tries = again.pop() if again else (next(pieces, None), 0)
                    if piece is None:
                        break
                    worker = idle.pop()
                    running[worker.submit(score_chunk, task, piece)] = (worker, piece, tries + 1)
                if not running:
                    return
                for done in wait(running, return_when=FIRST_COMPLETED).done:
                    worker, piece, tries = running.pop(done)
                    try:
                        scores = done.result()
                    except BrokenProcessPool:
                        worker.shutdown()
                        idle.append(_worker())
                        if tries < MOST_TRIES:
                            again.append((piece, tries))
                            continue
                        scores = worker_crash_reason(piece, tries)
                    else:
                        idle.append(worker)
                    yield piece, scores
        finally:
            for worker in [*idle, *(worker for worker, _, _ in running.values())]:
                worker.shutdown(wait=False, cancel_futures=True)


def worker_crash_reason(piece: Chunk, tries: int) -> ChunkScores:
    """What is said of a piece that nobody survives."""
    return ChunkScores(
        provider="",
        end_sample=0,
        failure=f"{piece.path} ended the process that heard it, {tries} times. It may be made to, or there is too "
        "little memory for it; convert it, e.g. with `ffmpeg -i IN OUT.wav`, and scan that.",
    )


def _worker() -> ProcessPoolExecutor:
    # Spawned: a fork would copy the threads' locks of ONNX Runtime, and of whatever the caller runs.
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_become_worker)


def _become_worker() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """A pool's worker waits for work on a pipe that it holds both ends of: it would never hear that nobody is left."""
    with contextlib.suppress(OSError):
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
    os._exit(0)
