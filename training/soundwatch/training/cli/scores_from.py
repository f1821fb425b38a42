"""Option `--scores-from`: finished runs whose scores a run takes over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from soundwatch.daemon.cli.options import GivenPath
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.fit.scores.scoring import RunRecord, read_run
from soundwatch.training.model.recipe import Recipe

scores_from_option = click.option(
    "--scores-from",
    type=GivenPath(),
    multiple=True,
    help="Finished run of the same recipe: take over its scores, and choose thresholds on it. Repeatable.",
)


def read_scores(folders: Sequence[Path], recipe: Recipe, labels: tuple[str, ...]) -> tuple[RunRecord, ...]:
    """Read finished runs of an equal recipe with held-out scores of equal classes.

    Raises:
        ConfigError: A run has another recipe or other classes, or held nothing out.
        DataError: A folder has no finished run.
    """
    return tuple(_read_scores(folder, recipe, labels) for folder in folders)


def _read_scores(folder: Path, recipe: Recipe, labels: tuple[str, ...]) -> RunRecord:
    """Read one run."""
    record = read_run(folder)
    if record.recipe_sha256 != recipe.sha256:
        raise ConfigError(
            f"--scores-from {folder} is a run of recipe {record.recipe} ({record.recipe_sha256[:12]}), not of this "
            f"{recipe.name} ({recipe.sha256[:12]}); its scores say nothing of this run. Repeat it with this recipe."
        )
    if record.plan.labels != labels:
        raise ConfigError(
            f"--scores-from {folder} is a run of the classes {', '.join(record.plan.labels)}, not of this one's "
            f"{', '.join(labels)}; its scores say nothing of this run."
        )
    if not record.scores or record.plan.leaky_split:
        raise ConfigError(f"--scores-from {folder} has no scores of held-out folds; give a run with --test-folds.")
    return record
