"""Evaluation of a model file on labeled recordings, through the stages of the daemon.

Conventions: the scores of a clip are those of `soundwatch classify`: decoded block by block, resampled,
windowed, mel decibels in numpy, ONNX Runtime or TorchScript; the mean over windows for a longer clip.
Does not: train, or use torch's front end; a difference from the training run's scores would be a fault.
"""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
from rich.console import Console
from rich.progress import track

from soundwatch.daemon.capture import Recording
from soundwatch.daemon.core.errors import DataError, SourceError
from soundwatch.daemon.core.files.atomic_file import replace_bytes
from soundwatch.daemon.core.model.classifier import Classifier
from soundwatch.daemon.pipeline.scoring import score_source
from soundwatch.training.data.datasets.labeled_clips import LabeledClips, check_labels, name_data
from soundwatch.training.evaluation.pages.report_page import memory_warning
from soundwatch.training.fit.reports.plots import draw_confusion
from soundwatch.training.fit.reports.report_folder import report_folder
from soundwatch.training.fit.scores.metrics import Metrics, count_confusion, measure


class ClassFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of one class.

    Attributes:
        clips: Number of clips of the class.
        precision: Share of correct clips among those predicted as the class; 0 without predictions.
        recall: Share of correct clips among the clips of the class; None without clips.
        f1: Harmonic mean of precision and recall.
    """

    clips: int
    precision: float
    recall: float | None
    f1: float


class Evaluation(msgspec.Struct, frozen=True, kw_only=True):
    """Metrics of a model on some folds.

    Attributes:
        model: Name and hash of the model.
        provider: Execution provider.
        folder: Name of the data set; null for UrbanSound8K.
        folds: Test folds.
        trained_on_these: Test folds that the model was trained on: their figures measure memory.
        clips: Number of clips.
        accuracy: Share of correctly classified clips.
        macro_f1: Mean of F1 over classes with clips.
        classes: Metrics per class.
        confusion: Counts with true classes as rows and predicted classes as columns, in the order of `classes`.
    """

    model: str
    provider: str
    folder: str | None
    folds: tuple[int, ...]
    trained_on_these: tuple[int, ...]
    clips: int
    accuracy: float
    macro_f1: float
    classes: dict[str, ClassFigures]
    confusion: tuple[tuple[int, ...], ...]


def evaluate_model(classifier: Classifier, data: LabeledClips, console: Console) -> Evaluation:
    """Score every clip, with a progress bar.

    Raises:
        ContractError: The model lacks one of the labels.
        DataError: A clip cannot be read.
    """
    contract = classifier.contract
    check_labels(contract, data)
    labels = (*data.labels, *(label for label in contract.labels if label not in data.labels))
    scores = np.zeros((len(data.clips), len(labels)), np.float32)
    for row, clip in enumerate(track(data.clips, description="Scoring clips", console=console)):
        try:
            values = score_source(Recording(clip.path.stem, clip.path, "fast", 0), classifier)
        except SourceError as error:
            raise DataError(f"{error} `soundwatch data check` lists all such files.") from error
        scores[row] = [values[label] for label in labels]
    metrics = measure(count_confusion(scores, np.array([clip.class_id for clip in data.clips], np.int64)))
    return Evaluation(
        model=contract.identity,
        provider=classifier.provider,
        folder=data.folder,
        folds=data.folds,
        trained_on_these=data.learned_folds(contract),
        clips=len(data.clips),
        accuracy=round(metrics.accuracy, 4),
        macro_f1=round(metrics.macro_f1, 4),
        classes={label: _class_figures(metrics, row) for row, label in enumerate(labels)},
        confusion=tuple(tuple(int(count) for count in row) for row in metrics.confusion),
    )


def _class_figures(metrics: Metrics, class_id: int) -> ClassFigures:
    recall = metrics.recall[class_id]
    return ClassFigures(
        clips=int(metrics.confusion[class_id].sum()),
        precision=round(metrics.precision[class_id], 4),
        recall=None if recall is None else round(recall, 4),
        f1=round(metrics.f1[class_id], 4),
    )


def to_markdown(evaluation: Evaluation) -> str:
    """Format the metrics as Markdown."""
    warning = memory_warning(evaluation.trained_on_these)
    lines = [
        f"# {evaluation.model} on {name_data(evaluation.folds, evaluation.folder)}",
        "",
        f"{evaluation.clips} clips: accuracy {evaluation.accuracy:.3f}, macro F1 {evaluation.macro_f1:.3f} "
        f"({evaluation.provider}).",
        *([f"\n**{warning}**"] if warning else []),
        "",
        "| class | clips | precision | recall | F1 |",
        "|---|---|---|---|---|",
    ]
    for label, item in evaluation.classes.items():
        recall = "" if item.recall is None else f"{item.recall:.3f}"
        lines.append(f"| {label} | {item.clips} | {item.precision:.3f} | {recall} | {item.f1:.3f} |")
    return "\n".join(lines) + "\n"


def write_evaluation(evaluation: Evaluation, out: Path) -> None:
    """Write `evaluation.json`, `evaluation.md` and `confusion.png` to a folder.

    Raises:
        SinkError: The folder cannot be written to.
    """
    with report_folder(out) as folder:
        replace_bytes(folder / "evaluation.json", msgspec.json.format(msgspec.json.encode(evaluation), indent=1))
        replace_bytes(folder / "evaluation.md", to_markdown(evaluation).encode())
        confusion = np.array(evaluation.confusion, np.int64)
        draw_confusion(folder / "confusion.png", confusion, list(evaluation.classes), evaluation.model)
