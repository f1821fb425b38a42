"""Pages of the street, open-set and robustness reports.

Conventions: rows in the order of the reports.
Does not: draw (`evaluation/pages/trial_pictures.py`).
"""

from __future__ import annotations

from soundwatch.training.data.datasets.labeled_clips import name_data
from soundwatch.training.evaluation.pages.report_page import Page, Table, memory_warning, percent
from soundwatch.training.evaluation.recordings.openset import OpenSetReport
from soundwatch.training.evaluation.recordings.robustness import RobustnessReport
from soundwatch.training.evaluation.streets.street import SnrFigures, StreetReport
from soundwatch.training.evaluation.streets.street_scene import AMBIENCE_DBFS, GAP_S


def street_page(report: StreetReport) -> Page:
    """Build the page of a street report."""
    headings = tuple(f"{level.snr_db:g} dB" for level in report.levels)
    labels = list(report.levels[0].classes)
    recall = tuple((label, *(percent(level.classes[label].recall) for level in report.levels)) for label in labels)
    precision = tuple(
        (label, *(percent(level.classes[label].precision) for level in report.levels)) for label in labels
    )
    return Page(
        f"{report.model} in a street of {name_data(report.folds, report.folder)}",
        (
            f"{report.clips} clips of {report.recordings} recordings, one class after the other, "
            f"{GAP_S[0]:g} to {GAP_S[1]:g} s apart, over {', '.join(report.ambience)} at {AMBIENCE_DBFS:g} dBFS, a "
            f"minute of each in turn; seed {report.seed}; {report.provider}.",
            f"An event is right if its class sounds and its onset is at most {report.collar_s:g} s (a window and a "
            f"hop) from the true one; the tight collar is {report.tight_collar_s:g} s (a hop). Latency is from the "
            "true onset to when the event could be reported.",
            *(f"Left out: {reason}." for reason in report.skipped),
        ),
        memory_warning(report.trained_on_these),
        (
            Table(
                "All classes",
                (
                    "SNR",
                    "found",
                    "right",
                    "F1",
                    "macro F1",
                    "found, tight",
                    "false events/h",
                    "of them far from any clip/h",
                    "latency, median",
                    "95 %",
                    "onset put late by, median",
                ),
                tuple(_level(level) for level in report.levels),
            ),
            Table("Found, by class", ("class", *headings), recall),
            Table("Right, by class", ("class", *headings), precision),
        ),
    )


def _level(level: SnrFigures) -> tuple[str, ...]:
    late = ("", "") if level.latency_s is None else (level.latency_s.median, level.latency_s.p95)
    onset = "" if level.onset_late_s is None else f"{level.onset_late_s.median:+.1f} s"
    return (
        f"{level.snr_db:g} dB",
        percent(level.found.recall),
        percent(level.found.precision),
        percent(level.found.f1),
        percent(level.macro_f1),
        percent(level.found_tight.recall),
        f"{level.false_events_per_h:.1f}",
        f"{level.false_events_alone_per_h:.1f}",
        *(f"{wait:.1f} s" if wait else "" for wait in late),
        onset,
    )


def openset_page(report: OpenSetReport) -> Page:
    """Build the page of an open-set report."""
    origin = "that training holds out" if report.held_out_only else "that no training is known to have used"
    low, high = percent(report.raised_share_low), percent(report.raised_share_high)
    kinds = tuple((kind, str(item.recordings), str(item.raised)) for kind, item in report.kinds.items())
    parts = tuple(
        (
            part.kind,
            "" if part.level_dbfs is None else f"{part.level_dbfs:g} dBFS",
            f"{part.minutes:g} min",
            ", ".join(f"{count} {label}" for label, count in part.events.items()) or "none",
            percent(part.active_share),
        )
        for part in report.ambience
    )
    return Page(
        f"{report.model} among sounds of none of its classes",
        (
            f"{report.negatives.recordings} recordings {origin}: {report.negatives.raised} raise an event, "
            f"{percent(report.raised_share)} (95 % confidence: {low} to {high}); {report.provider}.",
            f"{60 * report.ambience_h:.0f} minutes of ambience: {report.false_events_per_h:.1f} false events an hour "
            f"(below {report.false_events_per_h_high:.1f} with 95 % confidence); seed {report.seed}.",
            *(f"Left out: {reason}." for reason in report.skipped),
        ),
        "",
        (
            Table("Recordings", ("kind", "recordings", "raise an event"), kinds),
            Table("Ambience", ("kind", "level", "length", "events", "time in events"), parts),
        ),
    )


def robustness_page(report: RobustnessReport) -> Page:
    """Build the page of a robustness report."""
    rows = tuple(
        (
            change.name,
            change.group,
            percent(change.accuracy),
            f"{change.change_points:+.1f} ± {change.error_points:.1f}",
            "" if not change.limited else "yes" if change.change_points >= -2 else "**no**",
            percent(change.passing_share),
        )
        for change in report.changes
    )
    return Page(
        f"{report.model} under what microphones do, {name_data(report.folds, report.folder)}",
        (
            f"{report.clips} clips, the same under each condition: accuracy {percent(report.accuracy)} clean, "
            f"{percent(report.passing_share)} reach their class's threshold; seed {report.seed}; {report.provider}.",
            "The error is the standard error of the change, from the clips whose call changed.",
        ),
        memory_warning(report.trained_on_these),
        (
            Table(
                "Conditions",
                ("condition", "kind", "accuracy", "change in points", "within 2 points", "reach their threshold"),
                rows,
            ),
        ),
    )
