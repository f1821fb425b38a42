"""Report of a cross-validation: figures over folds, and calibration of the scores.

Conventions: mean and spread are over folds, never over pooled clips; recall and the confusion matrix are over
the clips of all folds. Calibration: the share of correct clips among those with a highest score in a bin of 0.1;
the expected calibration error is the mean difference of share and score, weighted by clips.
Does not: train (`crossval/folds.py`).
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.training.fit.reports.plots import draw_calibration, draw_confusion
from soundwatch.training.fit.reports.report_folder import report_folder
from soundwatch.training.fit.scores.metrics import count_confusion, measure
from soundwatch.training.fit.scores.scoring import RunRecord
from soundwatch.training.model.labels import LABELS

BINS: Final = 10


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """Statistics of a figure over folds: mean, standard deviation (null for one fold), minimum and maximum."""

    mean: float
    deviation: float | None
    lowest: float
    highest: float


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Clips with a highest score in a bin of 0.1: their number, mean score and share of correct ones."""

    clips: int
    mean_score: float | None
    right: float | None


class FoldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one fold, scored by a network trained on the others."""

    fold: int
    clips: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float | None]
    seconds: float


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """Report of a cross-validation: `crossval.json`."""

    recipe: str
    recipe_sha256: str
    seed: int
    parameters: int
    folds: tuple[FoldFigures, ...]
    accuracy: Spread
    macro_f1: Spread
    recall: dict[str, float | None]
    confusion: tuple[tuple[int, ...], ...]
    calibration: tuple[Bin, ...]
    calibration_error: float


def summarize(records: Sequence[RunRecord]) -> CrossValidation:
    """Build the report of finished runs, one per fold."""
    figures, confusions, scores, class_ids = [], [], [], []
    for record in records:
        clips = [clip for clip in record.held_out if clip.class_id is not None]
        values = np.array([clip.values for clip in clips], np.float32)  # (N, K)
        true_ids = np.array([clip.class_id for clip in clips], np.int64)
        metrics = measure(count_confusion(values, true_ids))
        figures.append(
            FoldFigures(
                fold=record.plan.test_folds[0],
                clips=len(clips),
                accuracy=round(metrics.accuracy, 4),
                macro_f1=round(metrics.macro_f1, 4),
                recall=_labeled(metrics.recall),
                seconds=record.seconds,
            )
        )
        confusions.append(metrics.confusion)
        scores.append(values)
        class_ids.append(true_ids)
    confusion = np.sum(confusions, axis=0)
    bins = calibration_bins(np.concatenate(scores), np.concatenate(class_ids))
    clips_done = sum(part.clips for part in bins)
    return CrossValidation(
        recipe=records[0].recipe,
        recipe_sha256=records[0].recipe_sha256,
        seed=records[0].seed,
        parameters=records[0].parameters,
        folds=tuple(figures),
        accuracy=_spread([fold.accuracy for fold in figures]),
        macro_f1=_spread([fold.macro_f1 for fold in figures]),
        recall=_labeled(measure(confusion).recall),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        calibration=bins,
        calibration_error=round(
            sum(part.clips * abs((part.right or 0) - (part.mean_score or 0)) for part in bins) / clips_done, 4
        ),
    )


def calibration_bins(scores: NDArray[np.float32], class_ids: NDArray[np.int64]) -> tuple[Bin, ...]:
    """Compute the calibration of the highest scores in bins of 0.1; scores (N, K), true classes (N,)."""
    highest, right = scores.max(axis=1), scores.argmax(axis=1) == class_ids
    tenth = np.minimum((highest * BINS).astype(int), BINS - 1)
    return tuple(
        Bin(
            clips=int(inside.sum()),
            mean_score=round(float(highest[inside].mean()), 4) if inside.any() else None,
            right=round(float(right[inside].mean()), 4) if inside.any() else None,
        )
        for inside in (tenth == number for number in range(BINS))
    )


def to_markdown(report: CrossValidation) -> str:
    """Format the report as Markdown."""
    lines = [
        f"# Cross-validation of `{report.recipe}`",
        "",
        f"{report.parameters:,} parameters, seed {report.seed}, recipe sha256 {report.recipe_sha256[:12]}. Each fold "
        "is scored by a network trained on all other present folds.",
        "",
        "| fold | clips | accuracy | macro F1 | training minutes |",
        "|---|---|---|---|---|",
        *(
            f"| {fold.fold} | {fold.clips} | {fold.accuracy:.3f} | {fold.macro_f1:.3f} | {fold.seconds / 60:.1f} |"
            for fold in report.folds
        ),
        f"| mean | | {_text(report.accuracy)} | {_text(report.macro_f1)} | |",
        "",
        "| class | recall |",
        "|---|---|",
        *(f"| {label} | {'' if value is None else f'{value:.3f}'} |" for label, value in report.recall.items()),
        "",
        f"Expected calibration error of the highest score: {report.calibration_error:.3f}.",
        "",
        "![confusion](confusion.png) ![calibration](calibration.png)",
    ]
    return "\n".join(lines) + "\n"


def across_seeds(reports: Sequence[CrossValidation]) -> str:
    """Describe the spread of the mean accuracy over several seeds."""
    spread = _spread([report.accuracy.mean for report in reports])
    return f"Mean accuracy over {len(reports)} seeds: {_text(spread)}"


def write_report(report: CrossValidation, out: Path) -> None:
    """Write the report and its pictures.

    Raises:
        SinkError: The folder cannot be written to.
    """
    title = f"{report.recipe}, all folds"
    known = [(part.mean_score, part.right, part.clips) for part in report.calibration]
    calibration = [(score, right, clips) for score, right, clips in known if score is not None and right is not None]
    with report_folder(out) as folder:
        replace_bytes(folder / "crossval.json", msgspec.json.format(msgspec.json.encode(report), indent=1))
        replace_bytes(folder / "crossval.md", to_markdown(report).encode())
        draw_confusion(folder / "confusion.png", np.array(report.confusion, np.int64), LABELS, title)
        draw_calibration(folder / "calibration.png", calibration, title)


def _labeled(values: Sequence[float | None]) -> dict[str, float | None]:
    return {label: None if value is None else round(value, 4) for label, value in zip(LABELS, values, strict=True)}


def _spread(values: list[float]) -> Spread:
    return Spread(
        mean=round(statistics.mean(values), 4),
        deviation=round(statistics.stdev(values), 4) if len(values) > 1 else None,
        lowest=min(values),
        highest=max(values),
    )


def _text(spread: Spread) -> str:
    return f"{spread.mean:.3f}" + ("" if spread.deviation is None else f" ± {spread.deviation:.3f}")
