"""Pictures of the street, open-set and robustness reports.

Conventions: PNG from matplotlib's Agg, so no display is needed.
Does not: compute any figure.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from soundwatch.training.evaluation.recordings.openset import OpenSetReport
from soundwatch.training.evaluation.recordings.robustness import RobustnessReport
from soundwatch.training.evaluation.streets.street import StreetReport
from soundwatch.training.fit.reports.plots import save_figure

_COLOURS = ("tab:blue", "tab:orange")


def draw_street(path: Path, report: StreetReport) -> None:
    """Draw shares over SNR, and the share found by class."""
    levels = sorted(report.levels, key=lambda level: level.snr_db)
    snrs_db = [level.snr_db for level in levels]
    figure, (left, right) = plt.subplots(1, 2, figsize=(12, 5), layout="constrained")
    for name, values in (
        ("found", [level.found.recall for level in levels]),
        ("found, tight collar", [level.found_tight.recall for level in levels]),
        ("right", [level.found.precision for level in levels]),
        ("F1", [level.found.f1 for level in levels]),
    ):
        left.plot(snrs_db, [np.nan if value is None else value for value in values], marker="o", label=name)
    left.set_xlabel("SNR, dB")
    left.set_ylim(0, 1)
    left.grid(alpha=0.3)
    left.legend()
    labels = list(levels[0].classes)
    found = [[level.classes[label].recall for level in levels] for label in labels]
    shares = np.array(found, float)  # (K, SNRs), NaN where a class has no clips
    image = right.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    right.set_xticks(range(len(snrs_db)), [f"{snr_db:g}" for snr_db in snrs_db])
    right.set_yticks(range(len(labels)), labels)
    right.set_xlabel("SNR, dB")
    figure.colorbar(image, label="found")
    _finish(figure, path, report.model)


def draw_openset(path: Path, report: OpenSetReport) -> None:
    """Draw the recordings by kind, with those that raise an event in another color."""
    kinds = list(report.kinds)
    figure, axes = plt.subplots(figsize=(8, 1 + 0.25 * len(kinds)), layout="constrained")
    axes.barh(kinds, [report.kinds[kind].recordings for kind in kinds], color=_COLOURS[0], label="recordings")
    axes.barh(kinds, [report.kinds[kind].raised for kind in kinds], color=_COLOURS[1], label="raise an event")
    axes.invert_yaxis()
    axes.legend()
    _finish(figure, path, report.model)


def draw_robustness(path: Path, report: RobustnessReport) -> None:
    """Draw the change in points of every condition, with its standard error."""
    names = [change.name for change in report.changes]
    figure, axes = plt.subplots(figsize=(8, 1 + 0.28 * len(names)), layout="constrained")
    axes.barh(
        names,
        [change.change_points for change in report.changes],
        xerr=[change.error_points for change in report.changes],
        color=[_COLOURS[change.limited] for change in report.changes],
        ecolor="0.4",
    )
    axes.axvline(-2, color="0.4", linestyle=":")
    axes.invert_yaxis()
    axes.set_xlabel("change in accuracy, points (orange: may cost 2 at most)")
    _finish(figure, path, report.model)


def _finish(figure: Figure, path: Path, title: str) -> None:
    figure.suptitle(title)
    save_figure(figure, path)
