"""Scenarios of `soundwatch evaluate`: `--street`, `--open-set` and `--robustness`.

Conventions: a scenario writes `street.json`, `street.md` and `street.png` (by its name) to `--out`.
Without `--json` the page goes to stdout as Markdown; with it the page goes to stderr, JSON to stdout.
Does not: measure (`evaluation/streets/street.py`, `evaluation/recordings/openset.py`,
`evaluation/recordings/robustness.py`).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import click
import msgspec
import numpy as np
from rich.console import Console

from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.training.data.datasets.everyday_sounds import read_everyday_sounds
from soundwatch.training.data.datasets.labeled_clips import check_labels, labeled_clips
from soundwatch.training.data.datasets.negatives import split_negatives
from soundwatch.training.data.datasets.urbansound8k import Clip, Split
from soundwatch.training.evaluation.options import TrialOptions
from soundwatch.training.evaluation.pages.event_page import draw_events, event_page
from soundwatch.training.evaluation.pages.report_page import Page, show, to_markdown
from soundwatch.training.evaluation.pages.trial_pages import openset_page, robustness_page, street_page
from soundwatch.training.evaluation.pages.trial_pictures import draw_openset, draw_robustness, draw_street
from soundwatch.training.evaluation.recordings.openset import OpenSetReport, evaluate_openset
from soundwatch.training.evaluation.recordings.robustness import RobustnessReport, evaluate_robustness
from soundwatch.training.evaluation.streets.event_report import ALL_ROLES, TEST_ROLES, EventReport, report_events
from soundwatch.training.evaluation.streets.held_out import held_out_of
from soundwatch.training.evaluation.streets.street import StreetReport, evaluate_street, foreground_clips
from soundwatch.training.fit.reports.report_folder import report_folder

Report = EventReport | StreetReport | OpenSetReport | RobustnessReport

_SNRS_DB: Final = (20.0, 10.0, 5.0, 0.0)
_MINUTES: Final = 60.0
_SEED: Final = 1


def run_trial(
    classifier: Classifier, options: TrialOptions, root: Path | None, split: Split | None, console: Console
) -> Report:
    """Run the requested scenario.

    Args:
        classifier: Model to evaluate.
        options: Options of the command line.
        root: Folder of the data; None for the open set.
        split: Test clips; None for the open set.
        console: Console for the progress.

    Raises:
        ContractError: The model lacks one of the labels.
        DataError: A clip cannot be read, or there are too few.
    """
    seed = _SEED if options.seed is None else options.seed
    minutes = options.minutes or _MINUTES
    learned, held_out = split_negatives(*options.negatives)
    others = (*learned, *held_out) if options.unseen else held_out
    if root is None or split is None:
        recordings = _some(others, options.limit, seed)
        return evaluate_openset(classifier, recordings, others, not options.unseen, minutes, seed, console)
    data = labeled_clips(split)
    if options.trial == "robustness":
        data = replace(data, clips=_some(data.clips, options.limit, seed))
        return evaluate_robustness(classifier, data, seed, console)
    if options.sounds is not None:
        check_labels(classifier.contract, data)
        held_out_clips = held_out_of(classifier, foreground_clips(root, data))
        roles = ALL_ROLES if options.unseen else TEST_ROLES
        return report_events(held_out_clips, read_everyday_sounds(options.sounds), roles, minutes, seed, console)
    snrs_db = options.snr_db or _SNRS_DB
    return evaluate_street(classifier, foreground_clips(root, data), others, snrs_db, minutes, seed, console)


def _some(clips: tuple[Clip, ...], limit: int | None, seed: int) -> tuple[Clip, ...]:
    """Select up to `limit` random clips, in their order; all without a limit."""
    if limit is None or limit >= len(clips):
        return clips
    return tuple(clips[place] for place in sorted(np.random.default_rng(seed).permutation(len(clips))[:limit]))


def print_report(report: Report, as_json: bool, out: Path | None, console: Console) -> None:
    """Print a report, and write its files to a folder.

    Raises:
        SinkError: The folder cannot be written to.
    """
    page = page_of(report)
    if as_json:
        show(page, console)
        click.echo(msgspec.json.encode(report).decode())
    else:
        click.echo(to_markdown(page), nl=False)
    if out:
        with report_folder(out) as folder:
            _write(report, page, folder)


def page_of(report: Report) -> Page:
    """Build the page of a report."""
    if isinstance(report, EventReport):
        return event_page(report)
    if isinstance(report, StreetReport):
        return street_page(report)
    return openset_page(report) if isinstance(report, OpenSetReport) else robustness_page(report)


def _write(report: Report, page: Page, out: Path) -> None:
    if isinstance(report, EventReport):
        name = "street"
        draw_events(out / "street.png", report)
    elif isinstance(report, StreetReport):
        name = "street"
        draw_street(out / "street.png", report)
    elif isinstance(report, OpenSetReport):
        name = "open-set"
        draw_openset(out / "open-set.png", report)
    else:
        name = "robustness"
        draw_robustness(out / "robustness.png", report)
    replace_bytes(out / f"{name}.json", msgspec.json.format(msgspec.json.encode(report), indent=1) + b"\n")
    replace_bytes(out / f"{name}.md", to_markdown(page).encode())
