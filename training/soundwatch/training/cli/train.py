"""`soundwatch train`: train a recipe on recordings into a run folder."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import torch
from rich.console import Console

from soundwatch.daemon.core.errors import ConfigError, DataError
from soundwatch.daemon.core.process.memory import kept_heap
from soundwatch.training.cli.fitting import choose_other_sounds, has_other_sounds
from soundwatch.training.cli.options import (
    check_columns,
    check_name,
    default_negatives,
    override,
    read_everyday,
    split_negatives_for,
    split_own,
    warn_of,
)
from soundwatch.training.cli.scores_from import read_scores
from soundwatch.training.cli.train_options import TrainOptions, train_options
from soundwatch.training.data.datasets.csv_labels import Columns
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.data.datasets.urbansound8k import Split, split_by_folds, split_leakily
from soundwatch.training.distillation.hard_views import open_earlier_network
from soundwatch.training.distillation.teacher import open_teacher
from soundwatch.training.evaluation.thresholds.own_sounds import choose_for_own_sounds, describe_report
from soundwatch.training.evaluation.thresholds.run import finish_thresholds
from soundwatch.training.fit.reports.run_log import open_logs
from soundwatch.training.fit.runs.run import run_session
from soundwatch.training.fit.runs.run_record import model_name
from soundwatch.training.fit.scores.scoring import RunRecord
from soundwatch.training.fit.setup.distributed import DistributedContext, distributed_context, process_group
from soundwatch.training.fit.setup.placement import Loading
from soundwatch.training.fit.setup.run_setup import RunSetup, pick_device
from soundwatch.training.model.pretrained import adapt_recipe, load_pretrained
from soundwatch.training.model.recipe import Recipe
from soundwatch.training.model.recipe_file import load_recipe


@click.command()
@train_options
def train(**given: Any) -> None:
    """Train a recipe on labeled recordings and write a checkpoint that describes itself.

    Several processes do one run together: torchrun --nproc-per-node N -m soundwatch.training train ...
    """
    options = TrainOptions(**given)
    click.get_current_context().with_resource(kept_heap())
    ranks, device = distributed_context(pick_device(options.device))
    console = Console(stderr=True, quiet=not ranks.is_main)
    session = _set_up(options, ranks, device, console)
    with open_logs(options.log_names if ranks.is_main else (), session.out) as logs, process_group(ranks, device):
        record = run_session(session, options.resume, console, logs)
    if ranks.is_main:
        _finish(session, record, options, console)


def _set_up(options: TrainOptions, ranks: DistributedContext, device: torch.device, console: Console) -> RunSetup:
    """Read all inputs of the run.

    Raises:
        ConfigError: Options do not fit each other, the recipe or the data.
        DataError: The data cannot be read.
        ModelError: The teacher, the pretrained model or the earlier run cannot be read.
    """
    recipe = _choose_recipe(options)
    check_columns(options.layout, options.columns)
    check_name(options.name, bool(options.scores_from) and not options.has_own_classes)
    split = _split_own(options, recipe) if options.has_own_classes else _split_official(options, recipe)
    warn_of(split, console)
    _refuse_senseless(recipe, split, options.negatives)
    background = default_negatives(split, recipe) if options.has_own_classes else ()
    learned, held_out = split_negatives_for(recipe, (*options.negatives, *background))
    everyday = read_everyday(recipe, options.sounds, split.labels)
    sources = read_scores(options.scores_from, recipe, split.labels)
    teacher = open_teacher(recipe, options.teacher)
    origin = load_pretrained(options.init_from, recipe) if options.init_from is not None else None
    recipe, other_sounds = choose_other_sounds(recipe, origin, split.labels, options.leave_out, console)
    session = RunSetup(
        recipe=recipe,
        split=split,
        negatives=learned,
        held_out_negatives=held_out,
        sources=sources,
        out=options.out or Path("runs") / f"{recipe.name}-{_split_name(split)}",
        device=device,
        origin=origin,
        teacher=teacher,
        ranks=ranks,
        everyday=everyday,
        loading=Loading(options.data_on, options.workers),
        other_sounds=other_sounds,
        name=options.name,
    )
    return replace(session, earlier=open_earlier_network(options.hard_from, recipe, session.plan))


def _finish(session: RunSetup, record: RunRecord, options: TrainOptions, console: Console) -> None:
    """Choose the thresholds of a finished run, and print its figures and the next commands."""
    if options.has_own_classes and session.recipe.activation == "sigmoid":
        lines = describe_report(choose_for_own_sounds(session, console))
    else:
        sounds = read_everyday_sounds(options.sounds) if options.sounds else ()
        lines = finish_thresholds(session, options.root, options.scores_from, sounds, console)
    if record.train_accuracy is not None:
        augmented = ", augmented" if session.other_sounds is None else ""  # a head is fitted on clips as they are
        click.echo(f"training clips{augmented}: accuracy {record.train_accuracy:.3f}")
    for score in record.scores:
        click.echo(f"{score.tested_on}: accuracy {score.accuracy:.3f}, macro F1 {score.macro_f1:.3f}")
    for line in lines:
        click.echo(line)
    click.echo(f"{session.out / 'checkpoint.pt'}")
    scored = evaluation_options(
        session.split, options.root, options.layout, options.columns, options.test_folds, options.test_share
    )
    described = describe_next(session, scored)
    console.print(described, highlight=False, markup=False, soft_wrap=True)


def evaluation_options(
    split: Split,
    root: Path,
    layout: str,
    columns: Columns | None,
    folds: tuple[int, ...],
    test_share: float | None,
) -> str | None:
    """Return the options with which `evaluate` scores what a run held out; None if that is nothing, or is leaky."""
    if not split.test or split.leaky:
        return None
    words = ["--data", str(root)]
    if layout != "urbansound8k":
        words += ["--layout", layout]
    if columns:
        words += ["--columns", ",".join([columns.file, columns.label, *([columns.fold] if columns.fold else [])])]
    if folds:
        words += ["--folds", ",".join(map(str, folds))]
    if test_share is not None:
        words += ["--test-share", str(test_share)]
    return shlex.join(words)


def describe_next(session: RunSetup, scored: str | None) -> str:
    """Return where the files of a finished run are, and the commands that come next.

    Args:
        session: Inputs of the run.
        scored: Options of `evaluate`; None without held-out clips.
    """
    model = shlex.quote(f"models/{model_name(session)}.onnx")
    commands = [f"export {shlex.quote(str(session.out / 'checkpoint.pt'))} --out models"]
    commands += [f"evaluate {model} {scored}"] if scored else []
    commands += [f"run --model {model}"]
    files = f"{session.out} has checkpoint.pt, log.csv, curves.png and run.json. Next:"
    return "\n".join([files, *(f"  soundwatch {command}" for command in commands)])


def _choose_recipe(options: TrainOptions) -> Recipe:
    """Return the recipe with the numbers of the options; a head can be fitted where other sounds ship with a network.

    Raises:
        ConfigError: The recipe cannot be read, or a recipe for fine-tuning has no network to start from.
    """
    name, init_from = options.recipe_name, options.init_from
    if name is None and init_from is not None:
        may_fit = options.has_own_classes and not options.changes_steps
        name = "own-sounds" if may_fit and has_other_sounds(init_from) else "finetune"
    recipe = load_recipe("urban" if name is None else name)
    if init_from is not None and name in ("finetune", "own-sounds"):
        recipe = adapt_recipe(recipe, init_from)
    recipe = override(
        recipe, options.epochs, options.seed, options.batch, options.lr, options.balance, options.precision
    )
    if recipe.finetune and init_from is None:
        raise ConfigError(f"Recipe {recipe.name} goes on from a trained network; name one, e.g. --init-from urban.")
    return recipe


def _split_own(options: TrainOptions, recipe: Recipe) -> Split:
    """Split class folders or the recordings of a CSV file, if the options agree."""
    if options.train_folds or options.leaky_split:
        raise ConfigError(
            f"--layout {options.layout} has no official folds to learn from; leave out --train-folds and --leaky-split."
        )
    return split_own(options.root, recipe.features, options.test_share, options.test_folds, options.columns)


def _split_official(options: TrainOptions, recipe: Recipe) -> Split:
    """Split UrbanSound8K, if the options agree."""
    if options.test_share is not None:
        raise ConfigError("--test-share is for --layout folders; UrbanSound8K is split by its folds: use --test-folds.")
    if not options.leaky_split:
        return split_by_folds(options.root, options.train_folds, options.test_folds)
    if options.train_folds or options.test_folds:
        raise ConfigError("--leaky-split ignores the official folds; leave out --train-folds and --test-folds.")
    return split_leakily(options.root, recipe.seed)


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
