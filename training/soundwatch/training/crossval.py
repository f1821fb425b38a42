"""Leave one fold out, for every fold there is: the official protocol, on as much of the data as is present.

Conventions: each fold is scored by a network that learned from all others. A fold whose run is finished in
the output folder is not trained again, and one that was cut off is resumed, so that the protocol goes on.
Source: Salamon, Jacoby and Bello, "A Dataset and Taxonomy for Urban Sound Research", 2014.
Does not: choose anything on the scores.
"""

from __future__ import annotations

from pathlib import Path

import torch
from rich.console import Console

from soundwatch.daemon.errors import ConfigError
from soundwatch.training import checkpoint, scoring
from soundwatch.training.crossval_report import CrossValidation, summarise, write_report
from soundwatch.training.data import Clip, split_by_folds
from soundwatch.training.recipe import Recipe
from soundwatch.training.run import run_session
from soundwatch.training.scoring import RunRecord, read_run
from soundwatch.training.session import Session
from soundwatch.training.teacher import Teacher


def cross_validate(
    root: Path,
    recipe: Recipe,
    folds: tuple[int, ...] | None,
    negatives: tuple[tuple[Clip, ...], tuple[Clip, ...]],
    out: Path,
    device: torch.device,
    console: Console,
    teacher: Teacher | None = None,
) -> CrossValidation:
    """Train and score every fold, and leave `crossval.json`, `crossval.md` and two pictures.

    Args:
        root: Folder in UrbanSound8K's layout.
        recipe: The experiment.
        folds: To score, each by a network that learns from all others present; None scores all present.
        negatives: Recordings of none of the classes to learn from, and to score.
        out: One folder a fold is made there, and the report.
        device: That computes.
        console: For progress.
        teacher: For a recipe that learns from one.

    Raises:
        ConfigError: Fewer than two folds are there.
        DataError: The data is incomplete.
    """
    present = split_by_folds(root, None, ()).train_folds
    if len(present) < 2:
        raise ConfigError(f"{root} holds only fold {present[0]}; cross-validation needs at least two.")
    records = []
    for fold in folds or present:
        others = tuple(other for other in present if other != fold)
        folder = out / f"fold{fold}"
        console.print(f"Fold {fold}: learning from {', '.join(map(str, others))}")
        split = split_by_folds(root, others, (fold,))
        session = Session(recipe, split, *negatives, (), folder, device, teacher=teacher)
        records.append(_finished(session) or run_session(session, (folder / checkpoint.FILE_NAME).exists(), console))
    report = summarise(records)
    write_report(report, out)
    return report


def _finished(session: Session) -> RunRecord | None:
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
