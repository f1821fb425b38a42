"""Worker processes on this machine.

Conventions: each worker is a pool of one process, so the chunk of a crashed process is known. A chunk that crashed its
worker `MAX_TRIES` times counts as failed; any other chunk is scored again. Workers ignore Ctrl-C, which the terminal
sends to every process, and exit when their parent process ends. After a stop they finish their chunk, but no search
through a long file.
Does not: share memory: a worker receives a path and returns scores.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing.connection import Connection
from typing import Final

from soundwatch.daemon.core.process.stop_request import StoppedError, request_stop
from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk

MAX_TRIES: Final = 3
STOP_CHECK_S: Final = 0.5
_SPAWN: Final = multiprocessing.get_context("spawn")


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
        stop, stopper = _SPAWN.Pipe(duplex=False)  # its end is the request; an event would wait for crashed workers
        idle = [_worker(stop) for _ in range(self._workers)]
        running: dict[Future[ChunkScores], tuple[ProcessPoolExecutor, Chunk, int]] = {}
        retries: list[tuple[Chunk, int]] = []
        try:
            while True:
                while idle and not stopping():
                    chunk, tries = retries.pop() if retries else (next(chunks, None), 0)
                    if chunk is None:
                        break
                    worker = idle.pop()
                    with _interrupts_blocked():  # the first chunk starts the process
                        running[worker.submit(score_chunk, task, chunk)] = (worker, chunk, tries + 1)
                if not running:
                    return
                if stopping():
                    stopper.close()
                for done in wait(running, STOP_CHECK_S, FIRST_COMPLETED).done:
                    worker, chunk, tries = running.pop(done)
                    try:
                        scores = done.result()
                    except StoppedError:  # during the search of a file; the next run of the command scores the chunk
                        idle.append(worker)
                        continue
                    except BrokenProcessPool:
                        worker.shutdown()
                        if stopping():  # a second signal ended the worker
                            continue
                        idle.append(_worker(stop))
                        if tries < MAX_TRIES:
                            retries.append((chunk, tries))
                            continue
                        scores = worker_crash_reason(chunk, tries)
                    else:
                        idle.append(worker)
                    yield chunk, scores
        finally:
            stopper.close()
            stop.close()
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


def _worker(stop: Connection[bytes, bytes]) -> ProcessPoolExecutor:
    # Spawned, since a fork would copy locks that threads of ONNX Runtime or of the caller hold.
    return ProcessPoolExecutor(1, mp_context=_SPAWN, initializer=_become_worker, initargs=(stop,))


@contextlib.contextmanager
def _interrupts_blocked() -> Iterator[None]:
    """Block SIGINT in this thread, and in a process that it starts, whose imports Ctrl-C would end with a traceback."""
    if sys.platform == "win32":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _become_worker(stop: Connection[bytes, bytes]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    threading.Thread(target=_stop_searches, args=(stop,), daemon=True).start()


def _stop_searches(stop: Connection[bytes, bytes]) -> None:
    """End a search through a long file when the scan stops; a chunk that is being scored is finished."""
    with contextlib.suppress(OSError):
        stop.poll(None)
    request_stop()


def _end_with_parent() -> None:
    """Exit when the parent has ended; a worker holds both ends of its pipe, so it would see no end of file."""
    with contextlib.suppress(OSError):
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
    os._exit(0)
