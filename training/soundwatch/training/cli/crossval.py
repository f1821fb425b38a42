"""`soundwatch crossval`: every fold scored by a network that learned from the others."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.training.cli.options import Folds, negatives_option, open_teacher, override, teacher_option
from soundwatch.training.negatives import split_negatives
from soundwatch.training.recipe import load_recipe
from soundwatch.training.session import pick_device


@click.command()
@click.option("--data", "root", type=click.Path(path_type=Path), required=True, help="Folder in UrbanSound8K's layout.")
@click.option("--recipe", "recipe_name", default="urban", show_default=True, help="A shipped recipe, or a YAML file.")
@click.option("--folds", type=Folds(), help="To score, each by all others present.  [default: all present]")
@negatives_option
@teacher_option
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the runs and the report.  [default: runs/crossval-RECIPE]"
)
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--device", type=click.Choice(["auto", "cpu", "cuda"]), default="auto", show_default=True)
def crossval(
    root: Path,
    recipe_name: str,
    folds: tuple[int, ...] | None,
    negatives: tuple[Path, ...],
    teacher: Path | None,
    out: Path | None,
    epochs: int | None,
    seed: int | None,
    device: str,
) -> None:
    """Leave one fold out, for every fold present, and report the mean and the spread."""
    from soundwatch.training.crossval import cross_validate
    from soundwatch.training.crossval_report import to_markdown

    recipe = override(load_recipe(recipe_name), epochs, seed)
    sides = split_negatives(*negatives)
    out = out or Path("runs") / f"crossval-{recipe.name}"
    console, opened = Console(stderr=True), open_teacher(recipe, teacher)
    report = cross_validate(root, recipe, folds, sides, out, pick_device(device), console, opened)
    click.echo(to_markdown(report), nl=False)
