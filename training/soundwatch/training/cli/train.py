"""`soundwatch train`: train a recipe on recordings into a run folder."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import click
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.daemon.core.memory import kept_heap
from soundwatch.training.cli.fitting import choose_other_sounds, has_other_sounds
from soundwatch.training.cli.options import (
    Folds,
    check_columns,
    check_name,
    default_negatives,
    layout_options,
    name_option,
    negatives_option,
    override,
    precision_option,
    read_everyday,
    sounds_option,
    split_negatives_for,
    split_own,
    teacher_option,
    test_share_option,
    warn_of,
)
from soundwatch.training.cli.scores_from import read_scores, scores_from_option
from soundwatch.training.data.csv_labels import Columns
from soundwatch.training.data.everyday_sounds import read_everyday_sounds
from soundwatch.training.data.urbansound8k import Split, split_by_folds, split_leakily
from soundwatch.training.distillation.hard_views import open_earlier_network
from soundwatch.training.distillation.teacher import open_teacher
from soundwatch.training.evaluation.own_sounds import choose_for_own_sounds, describe_report
from soundwatch.training.evaluation.run_thresholds import finish_thresholds
from soundwatch.training.fit.distributed import distributed_context, process_group
from soundwatch.training.fit.placement import Loading, Place
from soundwatch.training.fit.run import run_session
from soundwatch.training.fit.run_log import open_logs
from soundwatch.training.fit.run_record import model_name
from soundwatch.training.fit.run_setup import DEVICES, RunSetup, pick_device
from soundwatch.training.model.pretrained import adapt_recipe, load_pretrained
from soundwatch.training.model.recipe import Precision, Recipe
from soundwatch.training.model.recipe_file import load_recipe


@click.command()
@click.option("--data", "root", type=click.Path(path_type=Path), required=True, help="The labeled recordings.")
@layout_options
@click.option("--recipe", "recipe_name", help="A shipped recipe, or a YAML file.  [default: urban, or finetune]")
@click.option("--init-from", metavar="MODEL", help="Start from a checkpoint, a model file or a shipped model's name.")
@click.option("--train-folds", type=Folds(), help="To learn from, e.g. 2,3.  [default: all there, less --test-folds]")
@click.option("--test-folds", type=Folds(), default=(), help="To score after each epoch.  [default: none]")
@click.option("--leaky-split", is_flag=True, help="Deal clips out at random instead: flatters, and brands the model.")
@test_share_option
@negatives_option
@sounds_option()
@scores_from_option
@teacher_option
@click.option(
    "--hard-from",
    type=click.Path(path_type=Path),
    help="Finished run on equal data, for a recipe that draws views by its errors.",
)
@click.option("--out", type=click.Path(path_type=Path), help="The run's folder.  [default: runs/RECIPE-FOLDS]")
@click.option("--resume", is_flag=True, help="Go on from the checkpoint in --out.")
@click.option("--epochs", type=click.IntRange(1), help="Instead of the recipe's.")
@click.option("--seed", type=click.IntRange(0), help="Instead of the recipe's.")
@click.option("--batch", type=click.IntRange(1), help="Clips a step, instead of the recipe's.")
@click.option("--lr", type=click.FloatRange(0, min_open=True), help="Highest learning rate, instead of the recipe's.")
@click.option("--balance", is_flag=True, help="Draw all classes equally often, however many clips each has.")
@precision_option
@name_option
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option(
    "--data-on",
    type=click.Choice(["auto", "device", "host"]),
    default="auto",
    show_default=True,
    help="Where decoded clips are: in the device's memory, or in the cache.",
)
@click.option(
    "--log",
    "log_names",
    metavar="LOG",
    multiple=True,
    help="tensorboard, or MODULE:CLASS of a callback of your own. Repeatable.",
)
@click.option(
    "--leave-out",
    metavar="KIND",
    multiple=True,
    help="Kind of the other sounds that ship with the model, which holds one of the classes. Repeatable.",
)
@click.option("--workers", type=click.IntRange(0), help="Processes that read ahead from the cache.  [default: decided]")
def train(
    root: Path,
    layout: str,
    columns: Columns | None,
    recipe_name: str | None,
    init_from: str | None,
    train_folds: tuple[int, ...] | None,
    test_folds: tuple[int, ...],
    leaky_split: bool,
    test_share: float | None,
    negatives: tuple[Path, ...],
    sounds: Path | None,
    scores_from: tuple[Path, ...],
    teacher: Path | None,
    hard_from: Path | None,
    out: Path | None,
    resume: bool,
    epochs: int | None,
    seed: int | None,
    batch: int | None,
    lr: float | None,
    balance: bool,
    precision: Precision | None,
    name: str | None,
    device: str,
    data_on: Place,
    log_names: tuple[str, ...],
    leave_out: tuple[str, ...],
    workers: int | None,
) -> None:
    """Train a recipe on labeled recordings and write a checkpoint that describes itself.

    Several processes do one run together: torchrun --nproc-per-node N -m soundwatch.training train ...
    """
    click.get_current_context().with_resource(kept_heap())
    ranks, own_device = distributed_context(pick_device(device))
    console = Console(stderr=True, quiet=not ranks.is_main)
    own = layout != "urbansound8k"
    steps = any(number is not None for number in (epochs, batch, lr, precision)) or balance
    recipe = _choose_recipe(recipe_name, init_from, own and not steps)
    recipe = override(recipe, epochs, seed, batch, lr, balance, precision)
    if recipe.finetune and not init_from:
        raise ConfigError(f"Recipe {recipe.name} goes on from a trained network; name one, e.g. --init-from urban.")
    check_columns(layout, columns)
    check_name(name, bool(scores_from) and not own)
    if own:
        if train_folds or leaky_split:
            raise ConfigError(
                f"--layout {layout} has no official folds to learn from; leave out --train-folds and --leaky-split."
            )
        split = split_own(root, recipe.features, test_share, test_folds, columns)
    else:
        split = _split_official(root, recipe, train_folds, test_folds, leaky_split, test_share)
    warn_of(split, console)
    _refuse_senseless(recipe, split, negatives)
    background = default_negatives(split, recipe) if own else ()
    learned, held_out = split_negatives_for(recipe, (*negatives, *background))
    everyday = read_everyday(recipe, sounds, split.labels)
    sources = read_scores(scores_from, recipe, split.labels)
    out = out or Path("runs") / f"{recipe.name}-{_split_name(split)}"
    heard_by = open_teacher(recipe, teacher)
    origin = load_pretrained(init_from, recipe) if init_from else None
    recipe, other_sounds = choose_other_sounds(recipe, origin, split.labels, leave_out, console)
    session = RunSetup(
        recipe,
        split,
        learned,
        held_out,
        sources,
        out,
        own_device,
        origin,
        heard_by,
        ranks,
        everyday,
        Loading(data_on, workers),
        other_sounds,
    )
    session = replace(session, name=name, earlier=open_earlier_network(hard_from, recipe, session.plan))
    with open_logs(log_names if ranks.is_main else (), out) as logs, process_group(ranks, own_device):
        record = run_session(session, resume, console, logs)
    if not ranks.is_main:
        return
    if background:
        lines = describe_report(choose_for_own_sounds(session, console))
    else:
        lines = finish_thresholds(session, root, scores_from, read_everyday_sounds(sounds) if sounds else (), console)
    if record.train_accuracy is not None:
        augmented = ", augmented" if other_sounds is None else ""  # a head is fitted on clips as they are
        click.echo(f"training clips{augmented}: accuracy {record.train_accuracy:.3f}")
    for score in record.scores:
        click.echo(f"{score.tested_on}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}")
    for line in lines:
        click.echo(line)
    click.echo(f"{out / 'checkpoint.pt'}")
    console.print(describe_next(session, root, layout, columns), highlight=False, markup=False, soft_wrap=True)


def describe_next(session: RunSetup, root: Path, layout: str, columns: Columns | None = None) -> str:
    """Return where the files of a finished run are, and the three commands that come next."""
    model = f"models/{model_name(session)}.onnx"
    data = shlex.quote(str(root)) + (f" --layout {layout}" if layout != "urbansound8k" else "")
    if columns:
        names = (columns.file, columns.label, *([columns.fold] if columns.fold else []))
        data += f" --columns {shlex.quote(','.join(names))}"
    return (
        f"{session.out} has checkpoint.pt, log.csv, curves.png and run.json. Next:\n"
        f"  soundwatch export {shlex.quote(str(session.out / 'checkpoint.pt'))} --out models\n"
        f"  soundwatch evaluate {shlex.quote(model)} --data {data}\n"
        f"  soundwatch run --model {shlex.quote(model)}"
    )


def _choose_recipe(name: str | None, init_from: str | None, may_fit: bool) -> Recipe:
    """Return the named or the default recipe; a head can be fitted where other sounds ship with the network."""
    if name is None and init_from:
        name = "own-sounds" if may_fit and has_other_sounds(init_from) else "finetune"
    recipe = load_recipe(name or "urban")
    return adapt_recipe(recipe, init_from) if init_from and name in ("finetune", "own-sounds") else recipe


def _split_official(
    root: Path,
    recipe: Recipe,
    train_folds: tuple[int, ...] | None,
    test_folds: tuple[int, ...],
    leaky_split: bool,
    test_share: float | None,
) -> Split:
    """Split UrbanSound8K, if the options agree."""
    if test_share is not None:
        raise ConfigError("--test-share is for --layout folders; UrbanSound8K is split by its folds: use --test-folds.")
    if leaky_split and (train_folds or test_folds):
        raise ConfigError("--leaky-split ignores the official folds; leave out --train-folds and --test-folds.")
    return split_leakily(root, recipe.seed) if leaky_split else split_by_folds(root, train_folds, test_folds)


def _refuse_senseless(recipe: Recipe, split: Split, negatives: Sequence[Path]) -> None:
    """Refuse options that cannot train a model."""
    if negatives and recipe.activation == "softmax":
        raise ConfigError(
            f"--negatives, and recipe {recipe.name} has softmax scores, which sum to one and cannot say none of them; "
            "leave it out, or use a recipe with sigmoid."
        )
    if len(split.labels) == 1 and recipe.activation == "softmax":
        raise ConfigError(
            f"{split.labels[0]} is the only class, and recipe {recipe.name} has softmax scores, which sum to one; "
            "add a folder of another class, or use a recipe with sigmoid."
        )
    learned = Counter(clip.class_id for clip in split.train)
    lacking = [label for class_id, label in enumerate(split.labels) if not learned[class_id]]
    if lacking:
        raise DataError(
            f"There is no clip to learn {', '.join(lacking)} from; at least one of each class was expected. "
            "Train on more folds, or on a larger share; `soundwatch data check` counts what is there."
        )


def _split_name(split: Split) -> str:
    """Return `2+3-1` for training folds 2 and 3 and test fold 1, or the name of the folder of other data."""
    if split.folder:
        return split.folder
    if split.leaky:
        return "leaky"
    sides = [split.train_folds, split.test_folds] if split.test_folds else [split.train_folds]
    return "-".join("+".join(str(fold) for fold in side) for side in sides)
