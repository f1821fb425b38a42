"""The report of a cross-validation: figures over folds, and how far scores can be believed.

Conventions: mean and spread are over folds, never over clips thrown together; recall and the confusion matrix are of
all folds' clips. Calibration: of the clips called with a score between two tenths, the share called rightly;
the expected calibration error is the mean distance of the two, weighted by clips.
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

from soundwatch.training.fit.metrics import count_confusion, measure
from soundwatch.training.fit.plots import draw_calibration, draw_confusion
from soundwatch.training.fit.scoring import RunRecord
from soundwatch.training.model.labels import LABELS

BINS: Final = 10


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """A figure over folds: mean, standard deviation (null for one fold), lowest and highest."""

    mean: float
    deviation: float | None
    lowest: float
    highest: float


class Bin(msgspec.Struct, frozen=True, kw_only=True):
    """Clips called with a score between two tenths: how many, their mean score, the share called rightly."""

    clips: int
    mean_score: float | None
    right: float | None


class FoldFigures(msgspec.Struct, frozen=True, kw_only=True):
    """One fold, scored by a network that learned from the others."""

    fold: int
    clips: int
    accuracy: float
    macro_f1: float
    recall: dict[str, float | None]
    seconds: float


class CrossValidation(msgspec.Struct, frozen=True, kw_only=True):
    """The report: `crossval.json`."""

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


def summarise(records: Sequence[RunRecord]) -> CrossValidation:
    """The report of finished runs, one a fold."""
    figures, confusions, scores, class_ids = [], [], [], []
    for record in records:
        clips = [clip for clip in record.held_out if clip.class_id is not None]
        values = np.array([clip.values for clip in clips], np.float32)  # (N, K)
        source_stats = np.array([clip.class_id for clip in clips], np.int64)
        metrics = measure(count_confusion(values, source_stats))
        figures.append(
            FoldFigures(
                fold=record.plan.test_folds[0],
                clips=len(clips),
                accuracy=round(metrics.accuracy, 4),
                macro_f1=round(metrics.macro_f1, 4),
                recall=_labelled(metrics.recall),
                seconds=record.seconds,
            )
        )
        confusions.append(metrics.confusion)
        scores.append(values)
        class_ids.append(source_stats)
    confusion = np.sum(confusions, axis=0)
    bins = calibration_bins(np.concatenate(scores), np.concatenate(class_ids))
    clips_done = sum(each.clips for each in bins)
    return CrossValidation(
        recipe=records[0].recipe,
        recipe_sha256=records[0].recipe_sha256,
        seed=records[0].seed,
        parameters=records[0].parameters,
        folds=tuple(figures),
        accuracy=_spread([each.accuracy for each in figures]),
        macro_f1=_spread([each.macro_f1 for each in figures]),
        recall=_labelled(measure(confusion).recall),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        calibration=bins,
        calibration_error=round(
            sum(each.clips * abs((each.right or 0) - (each.mean_score or 0)) for each in bins) / clips_done, 4
        ),
    )


def calibration_bins(scores: NDArray[np.float32], class_ids: NDArray[np.int64]) -> tuple[Bin, ...]:
    """How right the highest scores are, by tenths; scores (N, K), true classes (N,)."""
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
    """The report as a page."""
    lines = [
        f"# Cross-validation of `{report.recipe}`",
        "",
        f"{report.parameters:,} parameters, seed {report.seed}, recipe sha256 {report.recipe_sha256[:12]}. Each fold "
        "is scored by a network that learned from all others present.",
        "",
        "| fold | clips | accuracy | macro F1 | training minutes |",
        "|---|---|---|---|---|",
        *(
            f"| {each.fold} | {each.clips} | {each.accuracy:.3f} | {each.macro_f1:.3f} | {each.seconds / 60:.1f} |"
            for each in report.folds
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
    """Several seeds' mean accuracies in a sentence: how much of a figure is luck."""
    spread = _spread([report.accuracy.mean for report in reports])
    return f"Mean accuracy over {len(reports)} seeds: {_text(spread)}"


def write_report(report: CrossValidation, out: Path) -> None:
    """Leave the report and its pictures."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "crossval.json").write_bytes(msgspec.json.format(msgspec.json.encode(report), indent=1))
    (out / "crossval.md").write_text(to_markdown(report), encoding="utf-8")
    draw_confusion(out / "confusion.png", np.array(report.confusion, np.int64), LABELS, f"{report.recipe}, all folds")
    known = [(each.mean_score, each.right, each.clips) for each in report.calibration]
    draw_calibration(
        out / "calibration.png",
        [(score, right, clips) for score, right, clips in known if score is not None and right is not None],
        f"{report.recipe}, all folds",
    )


def _labelled(values: Sequence[float | None]) -> dict[str, float | None]:
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
