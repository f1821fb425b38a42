"""`soundwatch evaluate`: a model file's figures on labelled recordings."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec
from rich.console import Console

from soundwatch.training.cli.options import Folds, warn_of
from soundwatch.training.data import split_by_folds


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", "root", type=click.Path(path_type=Path), required=True, help="Folder in UrbanSound8K's layout.")
@click.option("--folds", type=Folds(), required=True, help="To score, e.g. 1.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Also leave JSON, Markdown and the confusion matrix there."
)
def evaluate(model: str, root: Path, folds: tuple[int, ...], as_json: bool, out: Path | None) -> None:
    """Score a model file (or a shipped model's name) on official folds through the daemon's own path."""
    # Opened only here: training needs no ONNX Runtime.
    from soundwatch.daemon.classify import open_classifier
    from soundwatch.training.evaluate import evaluate_model, to_markdown, warning, write_evaluation

    console = Console(stderr=True)
    classifier = open_classifier(model)
    split = split_by_folds(root, folds, ())
    warn_of(split, console)
    evaluation = evaluate_model(classifier, split.train, folds, console)
    if evaluation.trained_on_these:
        console.print(f"[yellow]{warning(evaluation)}[/]")
    if out:
        write_evaluation(evaluation, out)
    click.echo(msgspec.json.encode(evaluation).decode() if as_json else to_markdown(evaluation), nl=as_json)
