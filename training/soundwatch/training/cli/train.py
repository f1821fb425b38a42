"""`soundwatch train`: a recipe and recordings in, a run's folder out."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.errors import ConfigError
from soundwatch.training.cli.options import Folds, override, warn_of
from soundwatch.training.data import Split, split_by_folds, split_leakily
from soundwatch.training.negatives import split_negatives
from soundwatch.training.recipe import Recipe, load_recipe
from soundwatch.training.run import run_session
from soundwatch.training.scoring import RunRecord, read_run
from soundwatch.training.session import Session, pick_device


@click.command()
@click.option("--data", "root", type=click.Path(path_type=Path), required=True, help="Folder in UrbanSound8K's layout.")
@click.option("--recipe", "recipe_name", default="urban", show_default=True, help="A shipped recipe, or a YAML file.")
@click.option("--train-folds", type=Folds(), help="To learn from, e.g. 2,3.  [default: all there, less --test-folds]")
@click.option("--test-folds", type=Folds(), default=(), help="To score after each epoch.  [default: none]")
@click.option("--leaky-split", is_flag=True, help="Deal clips out at random instead: flatters, and brands the model.")
@click.option("--negatives", type=click.Path(path_type=Path), help="Folder of sounds that are none of the classes.")
@click.option(
    "--scores-from",
    type=click.Path(path_type=Path),
    multiple=True,
    help="Finished run of the same recipe: take over its scores, and choose thresholds on them. Repeatable.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/RECIPE-FOLDS]")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def train(
    root: Path,
    recipe_name: str,
    train_folds: tuple[int, ...] | None,
    test_folds: tuple[int, ...],
    leaky_split: bool,
    negatives: Path | None,
    scores_from: tuple[Path, ...],
    out: Path | None,
    resume: bool,
    epochs: int | None,
    seed: int | None,
    device: str,
) -> None:
    """Train a recipe on UrbanSound8K and leave a checkpoint that describes itself."""
    console = Console(stderr=True)
    recipe = override(load_recipe(recipe_name), epochs, seed)
    if leaky_split and (train_folds or test_folds):
        raise ConfigError("--leaky-split ignores the official folds; leave out --train-folds and --test-folds.")
    split = split_leakily(root, recipe.seed) if leaky_split else split_by_folds(root, train_folds, test_folds)
    warn_of(split, console)
    if negatives and recipe.activation == "softmax":
        raise ConfigError(
            f"--negatives, and recipe {recipe.name} has softmax scores, which sum to one and cannot say none of them; "
            "leave it out, or use a recipe with sigmoid."
        )
    learned, held_out = split_negatives(negatives) if negatives else ((), ())
    sources = tuple(_source(folder, recipe) for folder in scores_from)
    out = out or Path("runs") / f"{recipe.name}-{_fold_name(split)}"
    session = Session(recipe, split, learned, held_out, sources, out, pick_device(device))
    record = run_session(session, resume, console)
    for score in record.scores:
        click.echo(f"{score.tested_on}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}")
    click.echo(f"{out / 'checkpoint.pt'}")


def _source(folder: Path, recipe: Recipe) -> RunRecord:
    """A finished run, if it is of the same recipe and honest."""
    record = read_run(folder)
    if record.recipe_sha256 != recipe.sha256:
        raise ConfigError(
            f"--scores-from {folder} is a run of recipe {record.recipe} ({record.recipe_sha256[:12]}), not of this "
            f"{recipe.name} ({recipe.sha256[:12]}); its scores say nothing of this run. Repeat it with this recipe."
        )
    if not record.scores or record.plan.leaky_split:
        raise ConfigError(f"--scores-from {folder} has no scores of held-out folds; give a run with --test-folds.")
    return record


def _fold_name(split: Split) -> str:
    """`2+3-1` for a run that learns from folds 2 and 3 and scores fold 1."""
    if split.leaky:
        return "leaky"
    sides = [split.train_folds, split.test_folds] if split.test_folds else [split.train_folds]
    return "-".join("+".join(str(fold) for fold in side) for side in sides)
