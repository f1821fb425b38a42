"""Lines about thresholds and the open set that end the report of a training run.

Conventions: the open set is recordings of other sounds that were neither learned from nor used to choose thresholds.
Does not: measure.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from soundwatch.training.evaluation.recordings.openset import wilson

MIN_RECORDINGS: Final = 10  # fewer recordings of other sounds give no share worth a line


def threshold_lines(thresholds: Mapping[str, float], chosen_on: str) -> list[str]:
    """Return the lines with the threshold of each class, the evidence, and the disabled classes."""
    muted = [label for label, value in thresholds.items() if value >= 1]
    return [
        "Thresholds: " + ", ".join(f"{label} {value:g}" for label, value in thresholds.items()),
        f"Chosen on: {chosen_on}",
        *([f"Muted, since no threshold is worth its false events: {', '.join(muted)}"] if muted else []),
    ]


def describe_raised(raised: int, recordings: int) -> str:
    """Describe the share of recordings of other sounds that raise an event, with its 95 % interval."""
    low, high = wilson(raised, recordings)
    return (
        f"Open set: {raised} of {recordings} recordings of other sounds raise an event, "
        f"{100 * raised / recordings:.1f} % (95 %: {100 * low:.1f} to {100 * high:.1f} %)"
    )


def describe_unmeasured(recordings: int, synthetic: str = "") -> str:
    """Describe an open set of too few recordings; `synthetic` is the result on synthetic sounds."""
    return (
        f"Open set: not measured on real sounds ({recordings} recordings of other sounds are held out; "
        f"{MIN_RECORDINGS} were wanted){f'; {synthetic}' if synthetic else ''}. Give a folder of at least 100 "
        "recordings that are none of the classes with --negatives."
    )
