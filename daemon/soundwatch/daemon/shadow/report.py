"""Summary of the journal's lines about a model and its shadow.

Conventions: lines are bytes of JSON in the order of writing. A report covers one pair of active and shadow model over
all sources; after a promotion a second report covers the exchanged pair.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

from soundwatch.daemon.core.records.copy_fields import copy_fields

TOP_MOMENTS: Final = 10


class ClassReport(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of one class.

    Attributes:
        both: Number of windows in which both models detected the class.
        only_model: Number of windows in which the active model alone detected the class.
        only_shadow: Number of windows in which the shadow model alone detected the class.
        agreed: Share of the three counts that is `both`; None if all three are 0.
    """

    both: int = 0
    only_model: int = 0
    only_shadow: int = 0
    agreed: float | None = None


class DifferenceMoment(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One model begins to detect a class that the other does not detect: a `differ` line."""

    time: str
    source: str
    class_: str
    score: float
    threshold: float | None
    shadow_score: float
    shadow_threshold: float | None


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """Comparison of an active model and its shadow.

    Attributes:
        model: Identity of the active model.
        shadow: Identity of the shadow model.
        first: Start of the period that the lines cover.
        last: Time of the last line.
        windows: Number of windows compared.
        dropped_windows: Number of windows dropped because the queue was full.
        differences: Number of differences that began.
        mean_difference: Mean absolute difference of scores; None without a window.
        failed: Time at which the shadow model failed and was turned off; None if it did not fail.
        classes: Counts by class.
        moments: The reported differences with the largest distance between the scores.
    """

    model: str
    shadow: str
    first: str
    last: str
    windows: int
    dropped_windows: int
    differences: int
    mean_difference: float | None
    failed: str | None
    classes: dict[str, ClassReport]
    moments: tuple[DifferenceMoment, ...]


class _Line(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """A `differ` or a `shadow` line."""

    type: str
    time: str
    source: str
    model: str
    shadow: str
    class_: str = ""
    score: float = 0.0
    threshold: float | None = None
    shadow_score: float = 0.0
    shadow_threshold: float | None = None
    start: str = ""
    windows: int = 0
    dropped_windows: int = 0
    untold: int = 0
    mean_difference: float | None = None
    both: dict[str, int] = {}
    only_model: dict[str, int] = {}
    only_shadow: dict[str, int] = {}
    reason: str = ""


def build_reports(lines: Iterable[bytes]) -> list[ShadowReport]:
    """Return one report for each pair of models, in the order of their first lines."""
    pairs: dict[tuple[str, str], list[_Line]] = {}
    for encoded in lines:
        line = msgspec.json.decode(encoded, type=_Line)
        pairs.setdefault((line.model, line.shadow), []).append(line)
    return [_report(pair_lines) for pair_lines in pairs.values()]


def _report(lines: list[_Line]) -> ShadowReport:
    reported, tallies = ([line for line in lines if line.type == type_] for type_ in ("differ", "shadow"))
    windows = sum(line.windows for line in tallies)
    differences = sum((line.mean_difference or 0.0) * line.windows for line in tallies)
    largest = sorted(reported, key=_negative_distance)[:TOP_MOMENTS]
    labels = dict.fromkeys(label for line in tallies for label in line.both)
    return ShadowReport(
        model=lines[0].model,
        shadow=lines[0].shadow,
        first=min(line.start or line.time for line in lines),
        last=max(line.time for line in lines),
        windows=windows,
        dropped_windows=sum(line.dropped_windows for line in tallies),
        differences=len(reported) + sum(line.untold for line in tallies),
        mean_difference=round(differences / windows, 4) if windows else None,
        failed=next((line.time for line in reversed(tallies) if line.reason == "failed"), None),
        classes={label: _class_report(label, tallies) for label in labels},
        moments=tuple(copy_fields(line, DifferenceMoment) for line in largest),
    )


def _class_report(label: str, tallies: list[_Line]) -> ClassReport:
    both, only_model, only_shadow = (
        sum(counts.get(label, 0) for counts in column)
        for column in zip(*((line.both, line.only_model, line.only_shadow) for line in tallies), strict=True)
    )
    detected = both + only_model + only_shadow
    agreed = round(both / detected, 4) if detected else None
    return ClassReport(both=both, only_model=only_model, only_shadow=only_shadow, agreed=agreed)


def _negative_distance(line: _Line) -> float:
    return -abs(line.score - line.shadow_score)
