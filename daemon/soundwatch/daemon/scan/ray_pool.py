"""Workers of a Ray cluster: https://docs.ray.io, Ray Core's tasks.

Conventions: a chunk is a task for one core, and for one GPU if CUDA is required. Ray repeats a task whose worker or
machine was lost, `MAX_TRIES - 1` times. Without an address, a cluster on this machine alone is started; it listens on
loopback, has no dashboard, sends no usage statistics, and ends with the scan. After a stop, tasks that run are
interrupted, and those that wait are not begun, so a search through a long file ends with the scan.
Every machine needs one version of soundwatch, and the recordings and model files under equal paths.
Does not: copy recordings. Tasks receive paths and return scores; Ray's object store holds no sound.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.process.extras import install_command
from soundwatch.daemon.inference.loading import requested_provider
from soundwatch.daemon.scan.chunks import Chunk
from soundwatch.daemon.scan.process_pool import MAX_TRIES, worker_crash_reason
from soundwatch.daemon.scan.ray_environment import local_cluster_environment
from soundwatch.daemon.scan.worker import ChunkScores, ScoringTask, score_chunk

OBJECT_STORE_BYTES: Final = 100_000_000  # scores are small
_TASKS_PER_CORE: Final = 2  # one runs and one waits
REACHABLE_S: Final = 10.0  # limit of a connection to a cluster
_INIT_ERRORS: Final = (OSError, ValueError, RuntimeError)
_LOOK_EVERY_S: Final = 0.5  # for a request to stop


class RayPool:
    """Ray tasks that score chunks.

    Args:
        address: Address of a running cluster, as `ray start` prints it, or `auto`; None starts a cluster here.
        workers: Number of cores of a cluster that is started here.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """

    def __init__(self, address: str | None, workers: int) -> None:
        self._redirection = contextlib.ExitStack()
        self._redirection.enter_context(contextlib.redirect_stdout(sys.stderr))  # Ray prints messages about crashes
        self._ray = ray = connect(address, workers)
        self._max_running = _TASKS_PER_CORE * max(1, int(ray.cluster_resources().get("CPU", 1)))

    def score_all(
        self, task: ScoringTask, chunks: Iterator[Chunk], stopping: Callable[[], bool]
    ) -> Iterator[tuple[Chunk, ChunkScores]]:
        """Yield chunks with their scores as they are computed; start no further chunk once `stopping` is true.

        Raises:
            SoundwatchError: A worker cannot load or run the model.
        """
        ray = self._ray
        gpus = int(requested_provider(task.model) == "cuda")
        remote = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=MAX_TRIES - 1)(score_chunk)
        shared = ray.put(task)
        running: dict[Any, Chunk] = {}
        while True:
            while len(running) < self._max_running and not stopping():
                chunk = next(chunks, None)
                if chunk is None:
                    break
                running[remote.remote(shared, chunk)] = chunk
            if not running:
                return
            for done in ray.wait(list(running), num_returns=1, timeout=_LOOK_EVERY_S)[0]:
                chunk = running.pop(done)
                yield chunk, self._result(done, chunk)
            if stopping():
                for unfinished in running:
                    ray.cancel(unfinished)
                return

    def close(self) -> None:
        """Disconnect from the cluster; a cluster that was started here ends."""
        self._ray.shutdown()
        self._redirection.close()

    def _result(self, done: Any, chunk: Chunk) -> ChunkScores:
        """Return the result of a task.

        Raises:
            SoundwatchError: A worker cannot load or run the model.
        """
        exceptions = self._ray.exceptions
        try:
            scores: ChunkScores = self._ray.get(done)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except (exceptions.WorkerCrashedError, exceptions.NodeDiedError, exceptions.OutOfMemoryError):
            return worker_crash_reason(chunk, MAX_TRIES)
        return scores


def connect(address: str | None, cores: int | None) -> Any:
    """Connect to a cluster and return the module `ray`.

    Args:
        address: Address of a running cluster; None starts a cluster on this machine.
        cores: Number of cores of a cluster that is started here; None for all.

    Raises:
        ConfigError: Ray is not installed, or there is no such cluster.
    """
    if address is None:  # read at import: Ray then listens on loopback only
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")  # avoids a warning about GPUs
    try:
        import ray
    except ImportError as error:
        raise ConfigError(
            "--engine ray needs the Python package ray, which is not installed. Install it on every machine with "
            f"{install_command('ray')}."
        ) from error
    before = signal.getsignal(signal.SIGTERM)
    try:
        if address is None:
            _start_cluster(ray, cores)
        else:
            _join_cluster(ray, address)
    finally:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGTERM, before)  # Ray's own ends the program with stack traces and exit code 1
    return ray


def _start_cluster(ray: Any, cores: int | None) -> None:
    """Start a cluster on this machine."""
    try:
        with local_cluster_environment():
            ray.init(
                address="local",
                num_cpus=cores,
                object_store_memory=OBJECT_STORE_BYTES,
                include_dashboard=False,
                logging_level=logging.ERROR,
                log_to_driver=False,
            )
    except _INIT_ERRORS as error:
        raise ConfigError(
            f"Ray cannot be started on this machine: {_reason(error)} Use --engine local; or, if a path is too long, "
            "set TMPDIR to a folder with a shorter path."
        ) from error


def _join_cluster(ray: Any, address: str) -> None:
    """Connect to a running cluster."""
    check_reachable(address)
    try:
        ray.init(address=address, logging_level=logging.ERROR, log_to_driver=False)
    except _INIT_ERRORS as error:
        raise _no_cluster(address, _reason(error)) from error


def _reason(error: Exception) -> str:
    """Return the begin of an error's text in one line."""
    return " ".join(str(error).split())[:200]


def check_reachable(address: str) -> None:
    """Refuse an address HOST:PORT without a server, which Ray itself would try for minutes.

    Raises:
        ConfigError: The address cannot be reached.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # `auto`, or a form that Ray refuses
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACHABLE_S).close()
    except (OSError, OverflowError, UnicodeError) as error:
        raise _no_cluster(address, f"{getattr(error, 'strerror', None) or error}.") from error


def _no_cluster(address: str, reason: str) -> ConfigError:
    return ConfigError(
        f"There is no Ray cluster at {address}: {reason} Start one with `ray start --head`, or omit --address to use "
        "this machine only."
    )
