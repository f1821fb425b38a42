"""Page and picture of a report on streets and everyday sounds.

Conventions: rows in the order of the report; PNG, drawn with matplotlib's Agg.
Does not: compute any figure.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt

from soundwatch.training.evaluation.pages.report_page import Page, Table, memory_warning, percent
from soundwatch.training.evaluation.streets.event_report import CURVE_RATES_PER_H as RATES_PER_H
from soundwatch.training.evaluation.streets.event_report import EventReport, Interval, ScenarioFigures
from soundwatch.training.evaluation.streets.street import Delay
from soundwatch.training.fit.reports.plots import save_figure


def event_page(report: EventReport) -> Page:
    """Build the page of a report."""
    return Page(
        f"{report.model} in streets with many backgrounds",
        (
            f"{report.targets} clips of the classes and {report.negatives} of none of them to draw from: everyday "
            f"sounds of the roles {', '.join(report.roles)}, UrbanSound8K folds "
            f"{', '.join(map(str, report.folds)) or 'none'}; seed {report.seed}; {report.provider}. In brackets: 95 %, "
            "by resampling minutes, or Wilson's for recordings.",
            "An event is right if its class sounds and its onset is at most a window and a hop from the true one. "
            "Latency is from the true onset to when the event could be reported.",
        ),
        memory_warning(report.trained_on_these),
        (
            _street_table(report),
            _found_table(report),
            _false_events_table(report),
            _recordings_table(report),
            _curve_table(report),
        ),
    )


def _names(report: EventReport) -> list[str]:
    return [f"{scenario.snr_db:g} dB, {scenario.negatives_per_h:g} negatives/h" for scenario in report.scenarios]


def _street_table(report: EventReport) -> Table:
    headings = (
        "street",
        "hours",
        "backgrounds",
        "found",
        "mean of classes",
        "false events/h",
        "latency, median",
        "95 %",
    )
    rows = tuple(_row(name, item) for name, item in zip(_names(report), report.scenarios, strict=True))
    return Table("Streets", headings, rows)


def _found_table(report: EventReport) -> Table:
    rows = tuple(
        (label, f"{item.threshold:.2f}", *(_percent(scenario.classes[label].found) for scenario in report.scenarios))
        for label, item in report.scenarios[0].classes.items()
    )
    return Table("Found, by class", ("class", "threshold", *_names(report)), rows)


def _false_events_table(report: EventReport) -> Table:
    rows = tuple(
        (
            label,
            *(_rate(scenario.classes[label].false_per_h) for scenario in report.scenarios),
            _sources(report, label),
        )
        for label in report.scenarios[0].classes
    )
    headings = ("class", *_names(report), "mostly while there was")
    return Table("False events an hour, by class", headings, rows)


def _recordings_table(report: EventReport) -> Table:
    headings = ("group", "clips", "recordings", "kinds", "raise an event", "classes")
    rows = tuple(
        (
            name.replace("_", " "),
            str(item.clips),
            str(item.recordings),
            str(item.kinds),
            _percent(item.share),
            ", ".join(f"{count} {label}" for label, count in item.classes.items()),
        )
        for name, item in report.raised.items()
    )
    return Table("Recordings of none of the classes, one by one", headings, rows)


def _curve_table(report: EventReport) -> Table:
    headings = ("class", *(f"{rate:g}/h" for rate in RATES_PER_H))
    rows = tuple((label, *(_at(curve, rate) for rate in RATES_PER_H)) for label, curve in report.curves.items())
    return Table("Found at so many false events an hour, by class (threshold)", headings, rows)


def _at(curve: tuple[tuple[float, float, float], ...], rate: float) -> str:
    """Format the largest share found at a maximum rate of false events, and its threshold."""
    threshold, found, _ = max((point for point in curve if point[2] <= rate), key=lambda point: (point[1], point[0]))
    return f"{percent(found)} ({threshold:.2f})"


def _row(name: str, figures: ScenarioFigures) -> tuple[str, ...]:
    return (
        name,
        f"{figures.hours:g}",
        str(figures.backgrounds),
        _percent(figures.found),
        percent(figures.found_of_classes),
        _rate(figures.false_per_h),
        *_delay(figures.delay_s),
    )


def _delay(delay_s: Delay | None) -> tuple[str, str]:
    return ("", "") if delay_s is None else (f"{delay_s.median:.1f} s", f"{delay_s.p95:.1f} s")


def _percent(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"{percent(interval.value)} ({100 * interval.low:.1f} to {100 * interval.high:.1f})"


def _rate(interval: Interval) -> str:
    return f"{interval.value:.1f} ({interval.low:.1f} to {interval.high:.1f})"


def _sources(report: EventReport, label: str) -> str:
    """List the most frequent sounds at the start of a class's false events, over all streets."""
    counts: dict[str, int] = {}
    for figures in report.scenarios:
        for source, count in figures.classes[label].sources.items():
            counts[source] = counts.get(source, 0) + count
    return ", ".join(f"{source} {count}" for source, count in sorted(counts.items(), key=lambda pair: -pair[1])[:3])


def draw_events(path: Path, report: EventReport) -> None:
    """Draw the share found against false events per hour for each class, with the threshold in force marked."""
    labels = list(report.scenarios[0].classes)
    columns = min(5, len(labels))
    shape = (-(-len(labels) // columns), columns)
    figure, axes = plt.subplots(
        *shape, figsize=(3 * shape[1], 3 * shape[0]), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    for axis in axes.flat[len(labels) :]:
        axis.set_visible(False)
    for axis, label in zip(axes.flat, labels, strict=False):
        points = report.curves[label]
        axis.plot([max(point[2], 0.1) for point in points], [point[1] for point in points])
        threshold = report.scenarios[0].classes[label].threshold
        in_force = min(points, key=lambda point: abs(point[0] - threshold))
        axis.plot(max(in_force[2], 0.1), in_force[1], "o")
        axis.set_title(label)
        axis.set_xscale("log")
        axis.set_ylim(0, 1)
        axis.grid(alpha=0.3)
    figure.supxlabel("false events an hour (0.1: at most)")
    figure.supylabel("found")
    figure.suptitle(report.model)
    save_figure(figure, path, dpi=100)
