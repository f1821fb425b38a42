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
from dataclasses import dataclass
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
        scoring = _Scoring(task, chunks, stopping, self._workers)
        try:
            while scoring.submit():
                yield from scoring.results()
        finally:
            scoring.close()


@dataclass(frozen=True, slots=True)
class _Attempt:
    """A chunk on its way through a worker.

    Attributes:
        worker: The worker.
        chunk: The chunk.
        tries: Number of attempts, this one included.
    """

    worker: ProcessPoolExecutor
    chunk: Chunk
    tries: int


class _Scoring:
    """The workers, and the chunks that they score.

    Args:
        task: What the workers load and run.
        chunks: The chunks.
        stopping: Returns True once no further chunk is started.
        workers: Number of processes.
    """

    def __init__(self, task: ScoringTask, chunks: Iterator[Chunk], stopping: Callable[[], bool], workers: int) -> None:
        self._task = task
        self._chunks = chunks
        self._stopping = stopping
        # The end of the pipe is the request to stop; an event would wait for crashed workers.
        self._stop, self._stopper = _SPAWN.Pipe(duplex=False)
        self._idle = [_worker(self._stop) for _ in range(workers)]
        self._running: dict[Future[ChunkScores], _Attempt] = {}
        self._retries: list[tuple[Chunk, int]] = []

    def submit(self) -> bool:
        """Give a chunk to each idle worker; return False if no worker has one."""
        while self._idle and not self._stopping():
            chunk, tries = self._retries.pop() if self._retries else (next(self._chunks, None), 0)
            if chunk is None:
                break
            worker = self._idle.pop()
            with _interrupts_blocked():  # the first chunk starts the process
                self._running[worker.submit(score_chunk, self._task, chunk)] = _Attempt(worker, chunk, tries + 1)
        return bool(self._running)

    def results(self) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Wait for a moment, and yield the chunks that were scored meanwhile, or have failed for good.

        Raises:
            SoundwatchError: A worker cannot load or run the model.
        """
        if self._stopping():
            self._stopper.close()
        for done in wait(self._running, STOP_CHECK_S, FIRST_COMPLETED).done:
            attempt = self._running.pop(done)
            try:
                scores = done.result()
            except StoppedError:  # during the search of a file; the next run of the command scores the chunk
                self._idle.append(attempt.worker)
            except BrokenProcessPool:
                if self._replace_crashed(attempt):
                    yield attempt.chunk, worker_crash_reason(attempt.chunk, attempt.tries)
            else:
                self._idle.append(attempt.worker)
                yield attempt.chunk, scores

    def _replace_crashed(self, attempt: _Attempt) -> bool:
        """Replace a crashed worker and schedule its chunk again; return True if the chunk has crashed too many."""
        attempt.worker.shutdown()
        if self._stopping():  # a second signal ended the worker
            return False
        self._idle.append(_worker(self._stop))
        if attempt.tries < MAX_TRIES:
            self._retries.append((attempt.chunk, attempt.tries))
            return False
        return True

    def close(self) -> None:
        """Request the stop of searches, and let the workers end."""
        self._stopper.close()
        self._stop.close()
        for worker in [*self._idle, *(attempt.worker for attempt in self._running.values())]:
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
