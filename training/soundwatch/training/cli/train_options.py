"""Options of `soundwatch train`, as one record.

Conventions: None is an option that was not given.
Does not: check how options fit each other (`cli/train.py`).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import click

from soundwatch.daemon.cli.options import FiniteRange, GivenPath
from soundwatch.training.cli.options import (
    Command,
    Folds,
    layout_options,
    name_option,
    negatives_option,
    precision_option,
    sounds_option,
    teacher_option,
    test_share_option,
)
from soundwatch.training.cli.scores_from import scores_from_option
from soundwatch.training.data.datasets.csv_labels import Columns
from soundwatch.training.fit.setup.placement import Place
from soundwatch.training.fit.setup.run_setup import DEVICES
from soundwatch.training.model.recipe import Precision

_OPTIONS: Final = (
    click.option("--data", "root", type=GivenPath(), required=True, help="The labeled recordings."),
    layout_options,
    click.option("--recipe", "recipe_name", help="A shipped recipe, or a YAML file.  [default: urban, or finetune]"),
    click.option("--init-from", metavar="MODEL", help="Start from a checkpoint, a model file or a shipped model."),
    click.option("--train-folds", type=Folds(), help="To train on, e.g. 2,3.  [default: all present but --test-folds]"),
    click.option("--test-folds", type=Folds(), default=(), help="To score after each epoch.  [default: none]"),
    click.option("--leaky-split", is_flag=True, help="Split clips at random: the scores are not valid."),
    test_share_option,
    negatives_option,
    sounds_option(),
    scores_from_option,
    teacher_option,
    click.option(
        "--hard-from",
        type=GivenPath(),
        help="Finished run on equal data, for a recipe that draws views by its errors.",
    ),
    click.option("--out", type=GivenPath(), help="The run's folder.  [default: runs/RECIPE-FOLDS]"),
    click.option("--resume", is_flag=True, help="Continue from the checkpoint in --out."),
    click.option("--epochs", type=click.IntRange(1), help="Number of epochs, instead of the recipe's."),
    click.option("--seed", type=click.IntRange(0), help="Seed of the run, instead of the recipe's."),
    click.option("--batch", type=click.IntRange(1), help="Clips a step, instead of the recipe's."),
    click.option("--lr", type=FiniteRange(0, min_open=True), help="Highest learning rate, not the recipe's."),
    click.option("--balance", is_flag=True, help="Draw all classes equally often, however many clips each has."),
    precision_option,
    name_option,
    click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True),
    click.option(
        "--data-on",
        type=click.Choice(["auto", "device", "host"]),
        default="auto",
        show_default=True,
        help="Place of decoded clips: the memory of the device, or the cache.",
    ),
    click.option(
        "--log",
        "log_names",
        metavar="LOG",
        multiple=True,
        help="tensorboard, or MODULE:CLASS of a callback of your own. Repeatable.",
    ),
    click.option(
        "--leave-out",
        metavar="KIND",
        multiple=True,
        help="Kind of the other sounds that ship with the model, which holds one of the classes. Repeatable.",
    ),
    click.option(
        "--workers", type=click.IntRange(0), help="Processes that read ahead of training.  [default: decided]"
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainOptions:
    """Options of the command line; their meaning is the text of each option.

    Attributes:
        root: Value of `--data`.
        recipe_name: Value of `--recipe`.
        lr: Highest learning rate.
        log_names: Values of `--log`.
    """

    root: Path
    layout: str
    columns: Columns | None
    recipe_name: str | None
    init_from: str | None
    train_folds: tuple[int, ...] | None
    test_folds: tuple[int, ...]
    leaky_split: bool
    test_share: float | None
    negatives: tuple[Path, ...]
    sounds: Path | None
    scores_from: tuple[Path, ...]
    teacher: Path | None
    hard_from: Path | None
    out: Path | None
    resume: bool
    epochs: int | None
    seed: int | None
    batch: int | None
    lr: float | None
    balance: bool
    precision: Precision | None
    name: str | None
    device: str
    data_on: Place
    log_names: tuple[str, ...]
    leave_out: tuple[str, ...]
    workers: int | None

    @property
    def has_own_classes(self) -> bool:
        """True if the data has classes of its own, and no official folds."""
        return self.layout != "urbansound8k"

    @property
    def changes_steps(self) -> bool:
        """True if an option changes how a head is trained by steps."""
        numbers = (self.epochs, self.batch, self.lr, self.precision)
        return self.balance or any(number is not None for number in numbers)


def train_options(command: Command) -> Command:
    """Add the options to a command, as keyword arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
