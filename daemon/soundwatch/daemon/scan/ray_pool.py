"""Workers of a Ray cluster: https://docs.ray.io, Ray Core's tasks.

Conventions: a piece is a task of one core, and of one card where CUDA is required. Ray runs a task again whose worker
or machine was lost, `MOST_TRIES - 1` times. Without an address a cluster of this machine alone is started, which
listens on loopback, has no dashboard, reports nothing to anybody, and ends with the scan.
Every machine needs the same soundwatch and sees the recordings, and a model file of one's own, under the same paths.
Does not: move recordings. Tasks are told paths and give scores; Ray's object store holds no sound.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any, Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.extras import install_command
from soundwatch.daemon.inference.loading import requested_provider
from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.process_pool import MOST_TRIES, worker_crash_reason
from soundwatch.daemon.scan.ray_environment import local_cluster_environment
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk

OBJECT_STORE_BYTES: Final = 100_000_000  # scores are small
_TASKS_A_CORE: Final = 2  # one runs, one waits beside it


class RayPool:
    """Tasks that score pieces.

    Args:
        address: Of a running cluster, as `ray start` prints it, or `auto`; None starts one here.
        workers: Cores of the cluster that is started here.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        self._said = contextlib.ExitStack()
        self._said.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray prints of workers that died
        self._ray = ray = connect(address, workers)
        self._most_waiting = _TASKS_A_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def score_all(
        self, task: ScoringTask, pieces: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Each piece with its scores, as they are done; no new one is begun once it is `stopping`.

        Raises:
            SoundwatchError: A worker cannot do its work at all.
        """
        ray = self._ray
        cards = int(requested_provider(task.model) == "cuda")
        remote = ray.remote(num_cpus=1, num_gpus=cards, max_retries=MOST_TRIES - 1)(score_chunk)
        shared = ray.put(task)
        running: dict[Any, Chunk] = {}
        while True:
            while len(running) < self._most_waiting and not stopping():
                piece = next(pieces, None)
                if piece is None:
                    break
                running[remote.remote(shared, piece)] = piece
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1)[0]:
                piece = running.pop(done)
                yield piece, self._result(done, piece)

    def close(self) -> None:
        """Leave the cluster; one that was started here ends."""
        self._ray.shutdown()
        self._said.close()

    def _result(self, done: Any, piece: Chunk) -> ChunkScores:
        """What a task gave.

        Raises:
            SoundwatchError: A worker cannot do its work at all.
        """
        exceptions = self._ray.exceptions
        try:
            scores: ChunkScores = self._ray.get(done)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError):
            return worker_crash_reason(piece, MOST_TRIES)
        return scores


def connect(address: str | None, cores: int | None) -> Any:
    """The module `ray`, connected, and quiet; without an address to a cluster of so many cores here, None for all.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    if address is None:  # then Ray listens on loopback alone, as it does by itself on macOS and Windows
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # or it warns of what it will do with cards
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--engine ray needs the Python package ray, which is not installed. Install it on every machine with "
            f"{install_command('ray')}."
        ) from error
    where: dict[str, Any] = {"address": address}
    if address is None:
        where = {
            "address": "local",
            "num_cpus": cores,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": False,
        }
    try:
        with local_cluster_environment() if address is None else nullcontext():
            ray.init(logging_level=logging.ERROR, log_to_driver=False, **where)
    except (OSError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        if address is None:
            raise ConfigError(
                f"Ray cannot be started on this machine: {reason} Use --engine local; or, where a path is too long, a "
                "shorter folder for temporary files (TMPDIR)."
            ) from error
        raise ConfigError(
            f"There is no Ray cluster at {address}: {reason} Start one with `ray start --head`, or leave --address out "
            "to use this machine alone."
        ) from error
    return ray
