"""The picture of results/false-events.json: found against false events an hour, all classes and each class apart.

Usage: python benchmarks/false_events_picture.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes

RESULTS: Final = Path(__file__).parent / "results" / "false-events.json"
PICTURE: Final = Path(__file__).resolve().parents[1] / "docs" / "pictures" / "false-events.png"
LEAST_PER_H: Final = 0.1
COLORS: Final = {
    "cross-validated": "#0072B2",
    "shipped": "#009E73",
    "YAMNet, Frigate's rule": "#D55E00",
    "YAMNet, yamcam's rule": "#CC79A7",
}


def main() -> None:
    results: dict[str, Any] = json.loads(RESULTS.read_text("utf-8"))
    figure = plt.figure(figsize=(13, 9), layout="constrained", facecolor="white")
    axes = figure.subplot_mosaic(
        [["all", "all", "a0", "a1", "a2"], ["all", "all", "a3", "a4", "a5"], ["a6", "a7", "a8", "a9", "key"]]
    )
    _all_classes(axes["all"], results)
    labels = list(next(iter(results["curves"].values())))
    for place, label in enumerate(labels):
        _one_class(axes[f"a{place}"], label, results)
    axes["key"].axis("off")
    axes["key"].legend(*axes["all"].get_legend_handles_labels(), loc="center", frameon=False)
    figure.supxlabel("false events an hour of street")
    figure.supylabel("share found")
    figure.savefig(PICTURE, dpi=85)
    print(PICTURE)


def _all_classes(axis: Axes, results: dict[str, Any]) -> None:
    """Draw a line over prices and crosses for one threshold, at 10 dB and 130 hard negatives an hour."""
    for name, color in COLORS.items():
        own = [entry for entry in results["entries"] if entry["name"] == name]
        for entries, style in (
            ([entry for entry in own if "price" in entry], "o-"),
            ([entry for entry in own if "threshold" in entry], "x:"),
            ([entry for entry in own if not {"price", "threshold"} & entry.keys()], "*"),
        ):
            points = [
                (
                    max(LEAST_PER_H, entry["scenarios"][0]["false_per_h"]["value"]),
                    entry["scenarios"][0]["found"]["value"],
                )
                for entry in entries
            ]
            if points:
                words = {"o-": "", "x:": ", one threshold", "*": ""}[style]
                axis.plot(
                    *zip(*sorted(points), strict=True),
                    style,
                    color=color,
                    label=name + words,
                    markersize=9 if style == "*" else 5,
                )
    axis.set_title("all classes, 10 dB, 130 hard negatives an hour")
    _finish(axis)


def _one_class(axis: Axes, label: str, results: dict[str, Any]) -> None:
    """Draw the largest share found at each rate of false events over all thresholds of a class."""
    for name, curves in results["curves"].items():
        ordered = sorted((max(LEAST_PER_H, false), found) for _, found, false in curves[label])
        points = [(false, max(found for _, found in ordered[: place + 1])) for place, (false, _) in enumerate(ordered)]
        axis.plot(*zip(*points, strict=True), color=COLORS[name])
    axis.set_title(label)
    _finish(axis)


def _finish(axis: Axes) -> None:
    axis.set_xscale("log")
    axis.set_xlim(LEAST_PER_H, 300)
    axis.set_ylim(0, 1)
    axis.grid(alpha=0.3)


if __name__ == "__main__":
    main()
