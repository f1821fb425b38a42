"""Common options of the training commands: fold lists, layouts, recipe overrides, warnings."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import msgspec
from rich.console import Console
from rich.markup import escape

from soundwatch.daemon.cli.options import FiniteRange, GivenPath
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.inference.classifier import SHIPPED_MODELS
from soundwatch.training.data.datasets.class_folders import TEST_SHARE, split_folders
from soundwatch.training.data.datasets.csv_labels import Columns, split_csv
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.synthetic_sounds import sounds_per_kind, write_synthetic_sounds
from soundwatch.training.data.datasets.urbansound8k import Clip, Split
from soundwatch.training.data.windows.cache import cache_folder
from soundwatch.training.model.ranges import check_file_name
from soundwatch.training.model.recipe import Precision, Recipe

if TYPE_CHECKING:  # street sounds need torch, and `data check` uses these options without it
    from soundwatch.training.distillation.street_sounds import EverydaySounds

Command = TypeVar("Command", bound=Callable[..., Any])


class Folds(click.ParamType[tuple[int, ...]]):
    """List of fold numbers, separated by commas."""

    name = "folds"
    least = 1

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Convert `2,3` to (2, 3)."""
        if isinstance(value, tuple):
            return value
        try:
            numbers = tuple(sorted({int(part) for part in str(value).split(",")}))
        except ValueError:
            numbers = ()
        if not numbers or min(numbers) < self.least:
            wanted = f"write numbers from {self.least} with commas, e.g. 2,3"
            self.fail(f"{value!r} is not a list of {self.name}; {wanted}.", param, ctx)
        return numbers


class CsvColumns(click.ParamType[Columns]):
    """Names of a CSV file's columns, separated by commas: file, class and, optionally, fold."""

    name = "columns"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Columns:
        """Convert `filename,category,fold`."""
        names = [part.strip() for part in str(value).split(",")]
        if len(names) not in (2, 3) or not all(names):
            self.fail(f"{value!r} names no columns; write FILE,CLASS or FILE,CLASS,FOLD.", param, ctx)
        if len(set(names)) < len(names):
            self.fail(f"{value!r} names one column twice; file, class and fold are columns of their own.", param, ctx)
        return Columns(*names)


class Seeds(Folds):
    """List of seeds, separated by commas."""

    name = "seeds"
    least = 0


teacher_option = click.option(
    "--teacher", type=GivenPath(), help="YAMNet's .tflite file, for a recipe that learns from it."
)
negatives_option = click.option(
    "--negatives",
    type=GivenPath(),
    multiple=True,
    help="Folder of sounds that are none of the classes. Repeatable.",
)


def sounds_option(*, required: bool = False) -> Callable[[Command], Command]:
    """Build the option for the folder of everyday sounds."""
    return click.option(
        "--sounds",
        type=GivenPath(),
        required=required,
        help="Folder of everyday sounds and streets with metadata.csv.",
    )


layout_option = click.option(
    "--layout",
    type=click.Choice(["urbansound8k", "folders"]),
    default="urbansound8k",
    show_default=True,
    help="Layout of --data: UrbanSound8K's own, or a folder of recordings for each class.",
)


def layout_options(command: Command) -> Command:
    """Add the options of the data set's layout, the columns of a CSV file among them."""
    columns = click.option(
        "--columns",
        type=CsvColumns(),
        metavar="FILE,CLASS[,FOLD]",
        help="Names of the columns of layout csv, e.g. filename,category,fold.",
    )
    layout = click.option(
        "--layout",
        type=click.Choice(["urbansound8k", "folders", "csv"]),
        default="urbansound8k",
        show_default=True,
        help="Layout of --data: UrbanSound8K's own, a folder of recordings per class, or a CSV file that lists them.",
    )
    return layout(columns(command))


test_share_option = click.option(
    "--test-share",
    type=FiniteRange(0, 1),
    help="Share of each class's recordings for the test (folders and csv).  [default: 0.2]",
)


def check_columns(layout: str, columns: Columns | None) -> None:
    """Check that the columns are named for layout csv, and for no other.

    Raises:
        ConfigError: They are missing or not needed.
    """
    if (layout == "csv") != (columns is not None):
        raise ConfigError(
            "--layout csv and --columns belong together: --layout csv --columns filename,category, with a third column "
            "for folds, and the CSV file as the data."
        )


def split_own(
    root: Path,
    spec: FeatureSpec | None,
    test_share: float | None,
    folds: tuple[int, ...] | None,
    columns: Columns | None = None,
) -> Split:
    """Split class folders or the recordings of a CSV file; without a spec the data is not for training.

    Args:
        root: The folder, or the CSV file.
        spec: Front end, for the length of a window.
        test_share: Share of test clips per class.
        folds: Folds to test on; only of a CSV file.
        columns: Columns of the CSV file; None for class folders.

    Raises:
        ConfigError: Folds are given, and there are none.
    """
    if columns and folds and test_share is not None:
        raise ConfigError("Folds and --test-share both choose what is scored; leave one of them out.")
    if columns:
        return split_csv(root, columns, spec, TEST_SHARE if test_share is None else test_share, folds)
    if folds:
        raise ConfigError("--layout folders has no official folds; leave the folds out, and use --test-share.")
    return split_folders(root, spec, TEST_SHARE if test_share is None else test_share)


def split_negatives_for(recipe: Recipe, folders: tuple[Path, ...]) -> tuple[tuple[Clip, ...], tuple[Clip, ...]]:
    """Split negatives into training and test; a recipe with street mixes leaves out the held-out kinds.

    Raises:
        DataError: A folder holds no recordings.
    """
    from soundwatch.training.distillation.street_sounds import without_held_out_kinds

    learned, held_out = split_negatives(*folders)
    return (without_held_out_kinds(learned) if recipe.street else learned), held_out


def default_negatives(split: Split, recipe: Recipe) -> tuple[Path, ...]:
    """Return the folder of synthetic negatives for own classes; none for scores that cannot say none of them.

    Raises:
        DataError: The folder cannot be written to.
    """
    if recipe.activation == "softmax":
        return ()
    return (write_synthetic_sounds(cache_folder().parent, sounds_per_kind(len(split.train))),)


def read_everyday(recipe: Recipe, folder: Path | None, labels: Sequence[str]) -> EverydaySounds:
    """Read the everyday sounds of a recipe with street mixes.

    Raises:
        ConfigError: The folder is missing or not needed.
        DataError: The folder cannot be read.
    """
    from soundwatch.training.distillation.street_sounds import NO_EVERYDAY_SOUNDS, read_street_sounds

    if recipe.street and folder is None:
        raise ConfigError(
            f"Recipe {recipe.name} learns from street mixes; give a folder of everyday sounds with --sounds."
        )
    if folder is not None and not recipe.street:
        raise ConfigError(f"--sounds, and recipe {recipe.name} has no street section; leave it out.")
    return read_street_sounds(folder, labels) if folder is not None else NO_EVERYDAY_SOUNDS


name_option = click.option(
    "--name",
    help="Name of the model, in files and events.  [default: the recipe's, or the folder's]",
)
precision_option = click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    help="Precision of the network in training, instead of the recipe's.",
)


def check_name(name: str | None, takes_over_scores: bool) -> None:
    """Refuse a name that is no file's, or that of a shipped model for a run without scores of other folds.

    Raises:
        ConfigError: The name cannot be used.
    """
    if name is not None:
        check_file_name(name, "--name")
    if name in SHIPPED_MODELS and not takes_over_scores:
        raise ConfigError(
            f"--name {name} is the name of a shipped model, which the result would be mistaken for; use another. It is "
            "left to runs with --scores-from."
        )


def override(
    recipe: Recipe,
    epochs: int | None,
    seed: int | None,
    batch_clips: int | None = None,
    max_learning_rate: float | None = None,
    balance: bool = False,
    precision: Precision | None = None,
) -> Recipe:
    """Return the recipe with the numbers of the command line.

    Raises:
        ConfigError: A number is outside its range.
    """
    numbers = {"epochs": epochs, "seed": seed, "batch_clips": batch_clips, "precision": precision}
    rate = recipe.optimisation.max_learning_rate if max_learning_rate is None else max_learning_rate
    return msgspec.structs.replace(
        recipe,
        balance=balance or recipe.balance,
        optimisation=msgspec.structs.replace(recipe.optimisation, max_learning_rate=rate),
        **{name: number for name, number in numbers.items() if number is not None},
    )


def warn_of(split: Split, console: Console) -> None:
    """Print warnings about the split."""
    for fold, count in split.missing.items():
        where = f"Fold {fold}: " if fold else ""
        console.print(f"[yellow]{where}{count} of the listed clips have no file; the others are used.[/]")
    if split.ignored:
        folder = escape(str(split.folder))
        console.print(f"[yellow]{split.ignored} files in {folder} are no recordings and are left out.[/]")
    for sentence in split.far_off:
        console.print(f"[yellow]Far from the share for testing: {sentence}.[/]")
    if split.withheld:
        console.print(f"[yellow]{split.withheld} clips to train on are left out: their recordings are scored.[/]")
    if split.leaky:
        console.print("[yellow]--leaky-split: recordings stand on both sides; the scores measure nothing.[/]")
