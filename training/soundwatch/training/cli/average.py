"""`soundwatch average`: average the weights of finished runs into a run folder."""

from __future__ import annotations

import shlex
from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.cli.options import GivenPath
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.training.cli.options import check_name, name_option, negatives_option
from soundwatch.training.cli.scores_from import read_scores, scores_from_option
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import Split, split_by_folds
from soundwatch.training.fit.runs.average import average_runs, refuse_differences
from soundwatch.training.fit.scores.scoring import read_run
from soundwatch.training.fit.setup.run_setup import DEVICES, RunSetup, pick_device
from soundwatch.training.model.checkpoint import FILE_NAME, DataPlan, open_finished


@click.command()
@click.argument("runs", metavar="RUN RUN [RUN]...", nargs=-1, required=True, type=GivenPath())
@click.option("--data", "root", type=GivenPath(), help="UrbanSound8K, if the runs have test folds.")
@negatives_option
@scores_from_option
@click.option("--out", type=GivenPath(), required=True, help="The folder of the averaged run.")
@name_option
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
def average(
    runs: tuple[Path, ...],
    root: Path | None,
    negatives: tuple[Path, ...],
    scores_from: tuple[Path, ...],
    out: Path,
    name: str | None,
    device: str,
) -> None:
    """Average the final weights of finished runs of one recipe on equal data, and score the result as `train` does.

    The runs differ in their seed, or in the run of --hard-from. --data and --negatives are those of the runs. Choose
    thresholds afterwards with `soundwatch thresholds`.
    """
    console = Console(stderr=True)
    check_name(name, bool(scores_from))
    finished = [open_finished(folder) for folder in runs]
    refuse_differences(finished)
    first = finished[0]
    split = _split(first.plan, root)
    session = RunSetup(
        recipe=first.recipe,
        split=split,
        negatives=(),
        held_out_negatives=split_negatives(*negatives)[1],
        sources=read_scores(scores_from, first.recipe, split.labels),
        out=out,
        device=pick_device(device),
        name=name,
    )
    record = average_runs(finished, [read_run(folder) for folder in runs], session, console)
    for score in record.scores:
        click.echo(f"{score.tested_on}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}")
    checkpoint = out / FILE_NAME
    click.echo(f"{checkpoint}")
    export = f"soundwatch export {shlex.quote(str(checkpoint))} --out models"
    console.print(f"Next:\n  {export}", highlight=False, markup=False, soft_wrap=True)


def _split(plan: DataPlan, root: Path | None) -> Split:
    """Return the test clips of the runs; no training clips are needed."""
    if not plan.test_folds:
        return Split((), (), plan.train_folds, (), plan.leaky_split, {}, 0, plan.labels)
    if root is None:
        folds = ", ".join(map(str, plan.test_folds))
        raise ConfigError(f"The runs hold back fold {folds}, on which the mean is scored; give --data.")
    return split_by_folds(root, plan.train_folds, plan.test_folds)
