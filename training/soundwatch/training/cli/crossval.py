"""`soundwatch crossval`: cross-validation over the official folds."""

from __future__ import annotations

from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.cli.options import GivenPath
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.process.memory import kept_heap
from soundwatch.training.cli.options import (
    Folds,
    Seeds,
    negatives_option,
    override,
    precision_option,
    read_everyday,
    sounds_option,
    split_negatives_for,
    teacher_option,
)
from soundwatch.training.distillation.teacher import open_teacher
from soundwatch.training.fit.setup.run_setup import DEVICES
from soundwatch.training.model.labels import LABELS
from soundwatch.training.model.recipe import Precision
from soundwatch.training.model.recipe_file import load_recipe


@click.command()
@click.option("--data", "root", type=GivenPath(), required=True, help="Folder in UrbanSound8K's layout.")
@click.option("--recipe", "recipe_name", default="urban", show_default=True, help="A shipped recipe, or a YAML file.")
@click.option(
    "--folds", type=Folds(), help="Test folds, each scored by a network trained on all others.  [default: all present]"
)
@negatives_option
@sounds_option()
@teacher_option
@click.option("--out", type=GivenPath(), help="Folder of the runs and the report.  [default: runs/crossval-RECIPE]")
@click.option("--epochs", type=click.IntRange(1), help="Number of epochs, instead of the recipe's.")
@click.option("--seeds", type=Seeds(), default=(), help="Repeat with each seed, e.g. 1,2,3.  [default: the recipe's]")
@precision_option
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option(
    "--engine",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Place of the runs: this machine, or a Ray cluster.",
)
@click.option("--address", help="Address of a running Ray cluster, or auto.  [default: one of this machine alone]")
def crossval(
    root: Path,
    recipe_name: str,
    folds: tuple[int, ...] | None,
    negatives: tuple[Path, ...],
    sounds: Path | None,
    teacher: Path | None,
    out: Path | None,
    epochs: int | None,
    seeds: tuple[int, ...],
    precision: Precision | None,
    device: str,
    engine: str,
    address: str | None,
) -> None:
    """Leave one fold out, for every fold present, and report the mean and the spread."""
    from soundwatch.training.crossval.folds import FoldInputs, cross_validate, run_sequentially
    from soundwatch.training.crossval.report import across_seeds, to_markdown

    if address is not None and engine != "ray":
        raise ConfigError(f"--address {address} is Ray's; add --engine ray, or leave it out.")
    click.get_current_context().with_resource(kept_heap())
    recipe = override(load_recipe(recipe_name), epochs, None, precision=precision)
    if recipe.hard_views:
        raise ConfigError(
            f"Recipe {recipe.name} draws views by the errors of an earlier run, and crossval does one run a fold; "
            "train each fold with `soundwatch train --hard-from`."
        )
    sides = split_negatives_for(recipe, negatives)
    everyday = read_everyday(recipe, sounds, LABELS)
    out = out or Path("runs") / f"crossval-{recipe.name}"
    console = Console(stderr=True)
    trainer = run_sequentially(console)
    if engine == "ray":
        from soundwatch.training.crossval.ray_runs import run_on_ray

        trainer = run_on_ray(address, console)
    open_teacher(recipe, teacher)  # report its faults now, not in a worker
    inputs = FoldInputs(root, sides, device, teacher, everyday)
    reports = cross_validate(inputs, recipe, folds, out, trainer, seeds)
    click.echo("\n".join(map(to_markdown, reports)), nl=False)
    if len(reports) > 1:
        click.echo(f"\n{across_seeds(reports)}")
