"""Folds and seeds as tasks of a Ray cluster: https://docs.ray.io, Ray Core's tasks.

Conventions: a run is a task with one GPU on `--device cuda`, and on `auto` if the cluster has GPUs; else one core.
If a worker or machine is lost, Ray reruns its task, which resumes from its checkpoint. Every machine sees the data
and `--out` under equal paths, and has an equal version of soundwatch.
Does not: distribute one run (`fit/setup/distributed.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.process.memory import kept_heap
from soundwatch.daemon.scan.ray_pool import connect
from soundwatch.training.crossval.folds import FoldRun, Trainer, train_fold
from soundwatch.training.fit.scores.scoring import RunRecord

MOST_TRIES: Final = 3


def run_on_ray(address: str | None, console: Console) -> Trainer:
    """Return a trainer that executes the runs on a cluster, or on a local cluster without an address."""
    return lambda runs: _train_all(runs, address, console)


def _train_all(runs: Sequence[FoldRun], address: str | None, console: Console) -> list[RunRecord]:
    """Execute all runs, and return their records in order.

    Raises:
        SoundwatchError: A run failed; finished runs stay.
    """
    ray = connect(address, cores=None)
    try:
        gpus = _gpus_per_run(runs[0].inputs.device, ray.cluster_resources().get("GPU", 0))
        task = ray.remote(num_cpus=1, num_gpus=gpus, max_retries=MOST_TRIES - 1)(_train_quietly)
        pending = {task.remote(_absolute(run)): number for number, run in enumerate(runs)}
        records: dict[int, RunRecord] = {}
        while pending:
            done = ray.wait(list(pending), num_returns=1)[0][0]
            number = pending.pop(done)
            records[number] = _result(ray, done, runs[number])
            console.print(f"Fold {runs[number].fold}, seed {runs[number].recipe.seed}: done")
        return [records[number] for number in range(len(runs))]
    finally:
        ray.shutdown()


def _gpus_per_run(device: str, gpus: float) -> int:
    """Return the number of GPUs of a task.

    Raises:
        ConfigError: CUDA is requested and the cluster has no GPU: the task would wait forever.
    """
    if device == "cuda" and not gpus:
        raise ConfigError("--device cuda, and the Ray cluster has no GPU; use --device cpu, or add machines with one.")
    return int(device != "cpu" and gpus > 0)


def _absolute(run: FoldRun) -> FoldRun:
    """Make all paths absolute, since a worker has another working directory."""
    inputs = run.inputs
    teacher = inputs.teacher and inputs.teacher.resolve()
    return replace(run, inputs=replace(inputs, root=inputs.root.resolve(), teacher=teacher), out=run.out.resolve())


def _train_quietly(run: FoldRun) -> RunRecord:
    with kept_heap():
        return train_fold(run, Console(quiet=True))


def _result(ray: Any, done: Any, run: FoldRun) -> RunRecord:
    try:
        record: RunRecord = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise ConfigError(
            f"Fold {run.fold}, seed {run.recipe.seed} lost its worker {MOST_TRIES} times: "
            f"{' '.join(str(error).split())[:200]} Check the memory of that machine; the same command resumes."
        ) from error
    return record
