"""The documentation's table of what a second model beside the first costs.

Conventions: as in `figures.py`. A ratio is of two trials of one turn.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from statistics import median
from typing import Any, Final

from runtime_figures import machine_of
from tables import table

Results = dict[str, Any]


def shadow(results: Results) -> str:
    """A row a share of the windows."""
    rows = []
    for trials in zip(*results["turns"], strict=True):
        ratios = [
            trial["cpu_ms_a_second"] / turn[0]["cpu_ms_a_second"]
            for trial, turn in zip(trials, results["turns"], strict=True)
        ]
        share = trials[0]["share"]
        rows.append(
            (
                f"on {share:g} of the windows" if share else "none",
                _spread([trial["cpu_ms_a_second"] for trial in trials], 2),
                _spread(ratios, 2) if share else "",
                _spread([trial["delay_ms"]["p50"] for trial in trials], 1),
                _spread([trial["resident_mb"] for trial in trials], 0),
                f"{sum(trial['compared'] for trial in trials)} and {sum(trial['dropped'] for trial in trials)}"
                if share
                else "",
            )
        )
    headings = ("a shadow", "processor time for a second of a stream, ms", "ratio to none")
    more = ("window heard to line written, ms", "MB", "windows compared and dropped")
    note = (
        f"Median, least and most of {len(results['turns'])} turns, each of {results['streams']} streams of 48 kHz "
        f"stereo for {results['seconds']:g} s in real time; the second model is as large as the first. The rows were "
        "measured by turns, so that whatever else the machine did falls on all of them."
    )
    return f"{table((*headings, *more), rows)}\n\n{note} {machine_of(results)}"


def _spread(values: Sequence[float], digits: int) -> str:
    return f"{median(values):.{digits}f} ({min(values):.{digits}f} to {max(values):.{digits}f})"


SHADOW_FIGURES: Final[dict[str, tuple[str, Callable[[Results], str]]]] = {"shadow": ("shadow.json", shadow)}
