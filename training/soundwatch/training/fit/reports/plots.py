"""Figures of a run as files: CSV log, learning curves and confusion matrix as PNG.

Conventions: matplotlib's Agg draws the pictures, so no display is needed.
Does not: compute any figure.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.training.fit.epochs.loop import Row
from soundwatch.training.fit.scores.metrics import Counts


def write_log(path: Path, history: Sequence[Row]) -> None:
    """Write all finished epochs as CSV, atomically."""

    def write(part: Path) -> None:
        with part.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, list(history[-1]))
            writer.writeheader()
            writer.writerows(history)

    replace_file(path, write)


def save_figure(figure: Figure, path: Path, dpi: int = 120) -> None:
    """Write a figure as PNG, atomically, and close it.

    Raises:
        OSError: The file cannot be written.
    """
    try:
        replace_file(path, lambda part: figure.savefig(part, dpi=dpi, format="png"))
    finally:
        plt.close(figure)


def draw_curves(path: Path, history: Sequence[Row]) -> None:
    """Draw the loss, and training accuracy, and accuracy and macro F1 on held-out clips, over epochs."""
    epochs = [row["epoch"] for row in history]
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for name in ("train_loss", "test_loss"):
        if name in history[-1]:
            left.plot(epochs, [row[name] for row in history], label=name.replace("_", " "))
    if "train_accuracy" in history[-1]:  # epochs of an older version have none
        right.plot(epochs, [row.get("train_accuracy") for row in history], label="training accuracy")
    for name in ("accuracy", "macro_f1"):
        if name in history[-1]:
            right.plot(epochs, [row[name] for row in history], label=f"held-out {name.replace('_', ' ')}")
    for axes in (left, right):
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.has_data():
            axes.legend()
    right.set_ylim(0, 1)
    save_figure(figure, path)


def draw_confusion(path: Path, confusion: Counts, labels: Sequence[str], title: str) -> None:
    """Write the figure of a confusion matrix as PNG."""
    save_figure(confusion_figure(confusion, labels, title), path)


def confusion_figure(confusion: Counts, labels: Sequence[str], title: str) -> Figure:
    """Draw the counts with true classes as rows and predicted classes as columns, shaded by the share of the row."""
    shares = confusion / confusion.sum(axis=1, keepdims=True).clip(min=1)
    figure, axes = plt.subplots(figsize=(8, 7), layout="constrained")
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right")
    axes.set_yticks(range(len(labels)), labels)
    axes.set_xlabel("called")
    axes.set_ylabel("true")
    axes.set_title(title)
    for (row, column), count in zip(
        [(row, column) for row in range(len(labels)) for column in range(len(labels))], confusion.ravel(), strict=True
    ):
        if count:
            color = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(count), ha="center", va="center", color=color, fontsize=8)
    return figure


def draw_calibration(path: Path, bins: Sequence[tuple[float, float, int]], title: str) -> None:
    """Draw the share of correct clips over the mean score, one dot per bin, with an area by its share of the clips."""
    figure, axes = plt.subplots(figsize=(6, 6), layout="constrained")
    axes.plot([0, 1], [0, 1], color="grey", linestyle="--", label="calibrated")
    clips = sum(count for *_, count in bins)
    scores, shares = [score for score, *_ in bins], [share for _, share, _ in bins]
    axes.plot(scores, shares, color="C0")
    axes.scatter(scores, shares, s=[1200 * count / clips + 10 for *_, count in bins], color="C0", alpha=0.6)
    axes.set_xlabel("highest score, mean of the bin")
    axes.set_ylabel("share correct")
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1)
    axes.set_title(title)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left")
    save_figure(figure, path)
