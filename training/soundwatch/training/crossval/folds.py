"""Leave-one-fold-out cross-validation: the official protocol, on the folds that are present.

Conventions: a network trained on all other folds scores each fold. A fold with a finished run in
the output folder is not trained again, and an interrupted run is resumed.
Folds and seeds are independent, so a `Trainer` may run them in sequence or in parallel.
Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014.
Does not: select anything by the scores.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.crossval.report import CrossValidation, summarize, write_report
from soundwatch.training.data.datasets.urbansound8k import Clip, split_by_folds
from soundwatch.training.distillation.street_sounds import NO_EVERYDAY_SOUNDS, EverydaySounds
from soundwatch.training.distillation.teacher import open_teacher
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.scores import scoring
from soundwatch.training.fit.scores.scoring import RunRecord, read_run
from soundwatch.training.fit.setup.run_setup import RunSetup, pick_device
from soundwatch.training.model import checkpoint
from soundwatch.training.model.recipe import Recipe


@dataclass(frozen=True, slots=True)
class FoldInputs:
    """Inputs that all runs share, for a process on any machine.

    Attributes:
        root: Folder in UrbanSound8K's layout.
        negatives: Recordings of none of the classes, for training and test.
        device: auto, cpu or cuda.
        teacher: File of the teacher, for a recipe with distillation.
        everyday: Everyday sounds for training, for a recipe with street mixes.
    """

    root: Path
    negatives: tuple[tuple[Clip, ...], tuple[Clip, ...]] = ((), ())
    device: str = "auto"
    teacher: Path | None = None
    everyday: EverydaySounds = NO_EVERYDAY_SOUNDS


@dataclass(frozen=True, slots=True)
class FoldRun:
    """One test fold with one seed.

    Attributes:
        inputs: Inputs that all runs share.
        recipe: Recipe with its seed.
        fold: Test fold.
        others: Training folds.
        out: Output folder of the run.
    """

    inputs: FoldInputs
    recipe: Recipe
    fold: int
    others: tuple[int, ...]
    out: Path


Trainer = Callable[[Sequence[FoldRun]], list[RunRecord]]


def cross_validate(
    inputs: FoldInputs,
    recipe: Recipe,
    folds: tuple[int, ...] | None,
    out: Path,
    trainer: Trainer,
    seeds: tuple[int, ...] = (),
) -> list[CrossValidation]:
    """Train and score every fold, and write `crossval.json`, `crossval.md` and two pictures.

    Args:
        inputs: Inputs of all runs.
        recipe: Recipe of the runs.
        folds: Test folds, each scored by a network trained on all others; None means all present folds.
        out: Output folder, with one folder per fold and the report; with several seeds, with one such folder per seed.
        trainer: Executes the runs.
        seeds: Seeds to repeat everything with; empty for the recipe's own.

    Returns:
        One report per seed.

    Raises:
        ConfigError: Fewer than two folds are present.
        DataError: The data is incomplete.
    """
    present = split_by_folds(inputs.root, None, ()).train_folds
    if len(present) < 2:
        raise ConfigError(f"{inputs.root} holds only fold {present[0]}; cross-validation needs at least two.")
    places = {seed: out / f"seed{seed}" for seed in seeds} or {recipe.seed: out}
    runs = [
        FoldRun(
            inputs,
            msgspec.structs.replace(recipe, seed=seed),
            fold,
            tuple(other for other in present if other != fold),
            place / f"fold{fold}",
        )
        for seed, place in places.items()
        for fold in folds or present
    ]
    records, reports = trainer(runs), []
    for seed, place in places.items():
        report = summarize([record for run, record in zip(runs, records, strict=True) if run.recipe.seed == seed])
        write_report(report, place)
        reports.append(report)
    return reports


def run_sequentially(console: Console) -> Trainer:
    """Return a trainer that executes the runs one after another on this machine."""
    return lambda runs: [train_fold(run, console) for run in runs]


def train_fold(run: FoldRun, console: Console) -> RunRecord:
    """Train and score one fold, resume it, or read its finished record.

    Raises:
        ConfigError: The folder holds another run.
        DataError: The data is incomplete.
    """
    console.print(f"Fold {run.fold}, seed {run.recipe.seed}: training on {', '.join(map(str, run.others))}")
    inputs = run.inputs
    negatives, held_out_negatives = inputs.negatives
    session = RunSetup(
        recipe=run.recipe,
        split=split_by_folds(inputs.root, run.others, (run.fold,)),
        negatives=negatives,
        held_out_negatives=held_out_negatives,
        sources=(),
        out=run.out,
        device=pick_device(inputs.device),
        teacher=open_teacher(run.recipe, inputs.teacher),
        everyday=inputs.everyday,
        resumed_by="the same command",
    )
    return _finished(session) or run_session(session, (run.out / checkpoint.FILE_NAME).exists(), console)


def _finished(session: RunSetup) -> RunRecord | None:
    """Read the record of a finished run; None if the folder holds no finished run."""
    if not (session.out / scoring.FILE_NAME).exists():
        return None
    record = read_run(session.out)
    if record.recipe_sha256 != session.recipe.sha256 or record.plan != session.plan:
        raise ConfigError(
            f"{session.out} holds a finished run of other data or of another recipe ({record.recipe}); "
            "give another --out, or remove it."
        )
    return record
