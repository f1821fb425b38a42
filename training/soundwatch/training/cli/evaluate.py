"""`soundwatch evaluate`: metrics of a model file on labeled recordings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec
from rich.console import Console

from soundwatch.daemon.cli.options import GivenPath, check_overwrite, overwrite_option
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.training.cli.options import Folds, check_columns, layout_options, split_own, test_share_option, warn_of
from soundwatch.training.cli.trials import check_options, trial_options
from soundwatch.training.data.datasets.csv_labels import Columns
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, labeled_clips
from soundwatch.training.data.datasets.urbansound8k import Split, split_by_folds
from soundwatch.training.evaluation.options import TrialOptions
from soundwatch.training.fit.reports.report_folder import report_folder


@click.command()
@click.argument("model", metavar="MODEL")
@click.option("--data", "root", type=GivenPath(), help="The labeled recordings.")
@layout_options
@click.option("--folds", type=Folds(), help="To score, e.g. 1 (urbansound8k and csv).")
@test_share_option
@trial_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of Markdown.")
@click.option("--out", type=GivenPath(), help="Also leave JSON, Markdown and a picture there.")
@overwrite_option
def evaluate(
    model: str,
    root: Path | None,
    layout: str,
    columns: Columns | None,
    folds: tuple[int, ...] | None,
    test_share: float | None,
    as_json: bool,
    out: Path | None,
    overwrite: bool,
    **given: Any,
) -> None:
    """Score a model file (or a shipped model's name) on labeled recordings through the daemon's own path.

    With class folders, the test recordings are those that `train` holds out with an equal --test-share; 1 scores all.

    --street, --open-set and --robustness run a further test instead; --open-set needs --negatives and
    no folds.
    """
    # Imported only here: training needs no ONNX Runtime.
    from soundwatch.daemon.inference.classifier import load_classifier_file

    options = TrialOptions(**given)
    check_options(options)
    if out:
        for name in report_names(options):
            check_overwrite(out / name, overwrite)
    console = Console(stderr=True)
    check_columns(layout, columns)
    if layout == "urbansound8k":
        split = _split(root, folds, test_share, options)
    else:
        split = _own(root, test_share, folds, options, columns)
    if split:
        warn_of(split, console)
    classifier = load_classifier_file(model)
    if out:
        with report_folder(out):
            pass  # refused before the work
    if split and not options.trial:
        _score(classifier, labeled_clips(split), as_json, out, console)
    else:
        from soundwatch.training.evaluation.scenarios import print_report, run_trial

        print_report(run_trial(classifier, options, root, split, console), as_json, out, console)


def report_names(options: TrialOptions) -> tuple[str, ...]:
    """Return the names of the files that `--out` leaves."""
    if options.trial is None:
        return ("evaluation.json", "evaluation.md", "confusion.png")
    return tuple(f"{options.trial}{suffix}" for suffix in (".json", ".md", ".png"))


def _own(
    root: Path | None,
    test_share: float | None,
    folds: tuple[int, ...] | None,
    options: TrialOptions,
    columns: Columns | None,
) -> Split:
    """Split class folders or a CSV file's recordings; the test side is scored."""
    if options.trial == "open-set":
        raise ConfigError("--open-set tests --negatives alone; leave out --layout and --data.")
    if root is None:
        raise ConfigError("--data is missing; give the folder that holds a folder for each class, or the CSV file.")
    split = split_own(root, None, test_share, folds, columns)
    if not split.test:
        raise ConfigError("--test-share 0 leaves nothing to score; leave it out, or give 1 to score all.")
    return split


def _split(
    root: Path | None, folds: tuple[int, ...] | None, test_share: float | None, options: TrialOptions
) -> Split | None:
    """Return the test clips as the train side of a split; None for negatives alone."""
    if test_share is not None:
        raise ConfigError("--test-share is for --layout folders; UrbanSound8K is scored by its folds: use --folds.")
    if options.trial == "open-set":
        if root or folds:
            raise ConfigError("--open-set tests --negatives alone; leave out --data and --folds.")
        return None
    if root is None or folds is None:
        missing = "--data" if root is None else "--folds"
        raise ConfigError(f"{missing} is missing; give --data DIR --folds 1, or --open-set --negatives DIR.")
    return split_by_folds(root, folds, ())


def _score(classifier: Classifier, data: LabeledClips, as_json: bool, out: Path | None, console: Console) -> None:
    """Evaluate the accuracy of whole clips."""
    from soundwatch.training.evaluation.clips import evaluate_model, to_markdown, write_evaluation
    from soundwatch.training.evaluation.pages.report_page import memory_warning

    evaluation = evaluate_model(classifier, data, console)
    if evaluation.trained_on_these:
        console.print(f"[yellow]{memory_warning(evaluation.trained_on_these)}[/]")
    click.echo(msgspec.json.encode(evaluation).decode() if as_json else to_markdown(evaluation), nl=as_json)
    if out:
        write_evaluation(evaluation, out)
