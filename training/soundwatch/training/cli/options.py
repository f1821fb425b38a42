"""What the training room's commands share: fold lists, overridden recipes, and warnings of what a split lacks."""

from __future__ import annotations

import click
import msgspec
from rich.console import Console

from soundwatch.training.data import Split
from soundwatch.training.recipe import Recipe


class Folds(click.ParamType[tuple[int, ...]]):
    """Fold numbers with commas between them."""

    name = "folds"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """`2,3` as (2, 3)."""
        if isinstance(value, tuple):
            return value
        try:
            folds = tuple(sorted({int(part) for part in str(value).split(",")}))
        except ValueError:
            folds = ()
        if not folds or min(folds) < 1:
            self.fail(f"{value!r} is not a list of folds; write numbers from 1 with commas, e.g. 2,3.", param, ctx)
        return folds


def override(recipe: Recipe, epochs: int | None, seed: int | None) -> Recipe:
    """The recipe with the command line's numbers."""
    return msgspec.structs.replace(
        recipe, epochs=recipe.epochs if epochs is None else epochs, seed=recipe.seed if seed is None else seed
    )


def warn_of(split: Split, console: Console) -> None:
    """Say what is not as a reader would expect."""
    for fold, count in split.missing.items():
        console.print(f"[yellow]Fold {fold}: {count} of the listed clips have no file; the others are used.[/]")
    if split.withheld:
        console.print(f"[yellow]{split.withheld} clips to train on are left out: their recordings are scored.[/]")
    if split.leaky:
        console.print("[yellow]--leaky-split: recordings stand on both sides; the scores measure nothing.[/]")
