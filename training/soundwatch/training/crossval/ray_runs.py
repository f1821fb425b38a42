"""Folds and seeds as tasks of a Ray cluster: https://docs.ray.io, Ray Core's tasks.

Conventions: a run is a task of one card on `--device cuda`, and on `auto` where the cluster has cards; else of a core.
Ray does a run again whose worker or machine was lost, and it goes on from its checkpoint. Every machine sees the data
and `--out` under the same paths, and has the same soundwatch.
Does not: share out one run; that is `fit/distributed.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.scan.ray_pool import connect
from soundwatch.training.crossval.folds import FoldRun, Trainer, train_fold
from soundwatch.training.fit.scoring import RunRecord

MOST_TRIES: Final = 3


def run_on_ray(address: str | None, console: Console) -> Trainer:
    """Do the runs on a cluster, or on one of this machine alone where none is named."""
    return lambda runs: _train_all(runs, address, console)


def _train_all(runs: Sequence[FoldRun], address: str | None, console: Console) -> list[RunRecord]:
    """All runs' records, in the runs' order.

    Raises:
        SoundwatchError: One of them cannot be done; those that are done stay.
    """
    ray = connect(address, cores=None)
    try:
        cards = _cards_a_run(runs[0].device, ray.cluster_resources().get("GPU", 0))
        task = ray.remote(num_cpus=1, num_gpus=cards, max_retries=MOST_TRIES - 1)(_train_quietly)
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


def _cards_a_run(device: str, cards: float) -> int:
    """How many cards a task asks for.

    Raises:
        ConfigError: CUDA is asked for, and the cluster has no card: the task would wait for ever.
    """
    if device == "cuda" and not cards:
        raise ConfigError("--device cuda, and the Ray cluster has no GPU; use --device cpu, or add machines with one.")
    return int(device != "cpu" and cards > 0)


def _absolute(run: FoldRun) -> FoldRun:
    """Paths that mean the same in a worker's own folder."""
    return replace(
        run,
        root=Path(run.root).resolve(),
        out=Path(run.out).resolve(),
        teacher=run.teacher and Path(run.teacher).resolve(),
    )


def _train_quietly(run: FoldRun) -> RunRecord:
    return train_fold(run, Console(quiet=True))


def _result(ray: Any, done: Any, run: FoldRun) -> RunRecord:
    try:
        record: RunRecord = ray.get(done)
    except ray.exceptions.RayTaskError as error:
        raise error.cause from None
    except ray.exceptions.RayError as error:
        raise ConfigError(
            f"Fold {run.fold}, seed {run.recipe.seed} lost its worker {MOST_TRIES} times: "
            f"{' '.join(str(error).split())[:200]} Look to that machine's memory; the same command goes on."
        ) from error
    return record
