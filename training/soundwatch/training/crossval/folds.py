"""Leave one fold out, for every fold there is: the official protocol, on as much of the data as is present.

Conventions: each fold is scored by a network that learned from all others. A fold whose run is finished in
the output folder is not trained again, and one that was cut off is resumed, so that the protocol goes on.
Folds, and seeds where several are asked for, know nothing of each other: whoever trains them (`Trainer`) may do so one
after another or all at once.
Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014.
Does not: choose anything on the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.crossval.report import CrossValidation, summarise, write_report
from soundwatch.training.data.urbansound8k import Clip, split_by_folds
from soundwatch.training.distillation.street_sounds import NO_EVERYDAY_SOUNDS, EverydaySounds
from soundwatch.training.distillation.teacher import open_teacher
from soundwatch.training.fit import scoring
from soundwatch.training.fit.run import run_session
from soundwatch.training.fit.run_setup import RunSetup, pick_device
from soundwatch.training.fit.scoring import RunRecord, read_run
from soundwatch.training.model import checkpoint
from soundwatch.training.model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One fold to be scored, with one seed: all that a process on any machine must know.

    Attributes:
        root: Folder in UrbanSound8K's layout.
        recipe: The experiment, with its seed.
        fold: To score.
        others: To learn from.
        negatives: Recordings of none of the classes to learn from, and to score.
        out: The run's folder.
        device: auto, cpu or cuda.
        teacher: File of the teacher, for a recipe that learns from one.
        everyday: Everyday sounds to learn from, for a recipe with street mixes.
    """

    root: Path
    recipe: Recipe
    fold: int
    others: tuple[int, ...]
    negatives: tuple[tuple[Clip, ...], tuple[Clip, ...]]
    out: Path
    device: str
    teacher: Path | None
    everyday: EverydaySounds = NO_EVERYDAY_SOUNDS


Trainer = Callable[[Sequence[FoldRun]], list[RunRecord]]


def cross_validate(
    root: Path,
    recipe: Recipe,
    folds: tuple[int, ...] | None,
    negatives: tuple[tuple[Clip, ...], tuple[Clip, ...]],
    out: Path,
    trainer: Trainer,
    device: str = "auto",
    teacher: Path | None = None,
    seeds: tuple[int, ...] = (),
    everyday: EverydaySounds = NO_EVERYDAY_SOUNDS,
) -> list[CrossValidation]:
    """Train and score every fold, and leave `crossval.json`, `crossval.md` and two pictures.

    Args:
        root: Folder in UrbanSound8K's layout.
        recipe: The experiment.
        folds: To score, each by a network that learns from all others present; None scores all present.
        negatives: Recordings of none of the classes to learn from, and to score.
        out: One folder a fold is made there, and the report; of several seeds, one folder a seed with all that.
        trainer: Does the runs.
        device: That computes: auto, cpu or cuda.
        teacher: File of the teacher, for a recipe that learns from one.
        seeds: To do all with, each by itself; none for the recipe's own.
        everyday: Everyday sounds to learn from, for a recipe with street mixes.

    Returns:
        A report a seed.

    Raises:
        ConfigError: Fewer than two folds are there.
        DataError: The data is incomplete.
    """
    present = split_by_folds(root, None, ()).train_folds
    if len(present) < 2:
        raise ConfigError(f"{root} holds only fold {present[0]}; cross-validation needs at least two.")
    places = {seed: out / f"seed{seed}" for seed in seeds} or {recipe.seed: out}
    runs = [
        FoldRun(
            root,
            msgspec.structs.replace(recipe, seed=seed),
            fold,
            tuple(other for other in present if other != fold),
            negatives,
            place / f"fold{fold}",
            device,
            teacher,
            everyday,
        )
        for seed, place in places.items()
        for fold in folds or present
    ]
    records, reports = trainer(runs), []
    for seed, place in places.items():
        report = summarise([record for run, record in zip(runs, records, strict=True) if run.recipe.seed == seed])
        write_report(report, place)
        reports.append(report)
    return reports


def run_sequentially(console: Console) -> Trainer:
    """Do the runs here, each with all that this machine has."""
    return lambda runs: [train_fold(run, console) for run in runs]


def train_fold(run: FoldRun, console: Console) -> RunRecord:
    """Train and score one fold, go on with it, or read what came of it.

    Raises:
        ConfigError: Its folder holds another run.
        DataError: The data is incomplete.
    """
    console.print(f"Fold {run.fold}, seed {run.recipe.seed}: learning from {', '.join(map(str, run.others))}")
    split = split_by_folds(run.root, run.others, (run.fold,))
    teacher = open_teacher(run.recipe, run.teacher)
    device = pick_device(run.device)
    session = RunSetup(run.recipe, split, *run.negatives, (), run.out, device, teacher=teacher, everyday=run.everyday)
    return _finished(session) or run_session(session, (run.out / checkpoint.FILE_NAME).exists(), console)


def _finished(session: RunSetup) -> RunRecord | None:
    """The record of a run that is done, if it is this one."""
    if not (session.out / scoring.FILE_NAME).exists():
        return None
    record = read_run(session.out)
    if record.recipe_sha256 != session.recipe.sha256 or record.plan != session.plan:
        raise ConfigError(
            f"{session.out} holds a finished run of other data or of another recipe ({record.recipe}); "
            "give another --out, or remove it."
        )
    return record
