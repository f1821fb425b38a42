"""What the journal's lines say of a model and its shadow.

Conventions: lines as bytes of JSON, in the order they were written. A pair of models has a report of its own; of a pair
that has exchanged places since, there are two. Sources are added up.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import msgspec

TOP_MOMENTS: Final = 10


class ClassReport(msgspec.Struct, frozen=True, kw_only=True):
    """One class.

    Attributes:
        both: Windows that both models heard it in.
        only_model: Those that the model alone did.
        only_shadow: Those that the shadow alone did.
        agreed: Share of all these that both did; None where nobody heard it.
    """

    both: int = 0
    only_model: int = 0
    only_shadow: int = 0
    agreed: float | None = None


class DifferenceMoment(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One model begins to hear a class where the other does not: a `differ` line."""

    time: str
    source: str
    class_: str
    score: float
    threshold: float | None
    shadow_score: float
    shadow_threshold: float | None


class ShadowReport(msgspec.Struct, frozen=True, kw_only=True):
    """A model and its shadow.

    Attributes:
        model: Identity of the model that decides.
        shadow: Identity of the other.
        first: From when on lines tell of them.
        last: Time of the last line.
        windows: Compared.
        dropped_windows: That were to be compared, but there was no time.
        differences: How often one began to hear a class that the other did not.
        mean_difference: Mean absolute difference of their scores; None without a window.
        failed: When the shadow failed and was turned off; None where it did not.
        classes: Each class.
        moments: The differences with the scores furthest apart, of those that were told one by one.
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
    """A report for each pair of models, in the order of their first lines."""
    pairs: dict[tuple[str, str], list[_Line]] = {}
    for each in lines:
        line = msgspec.json.decode(each, type=_Line)
        pairs.setdefault((line.model, line.shadow), []).append(line)
    return [_report(of_pair) for of_pair in pairs.values()]


def _report(lines: list[_Line]) -> ShadowReport:
    told, tallies = ([line for line in lines if line.type == type_] for type_ in ("differ", "shadow"))
    windows = sum(line.windows for line in tallies)
    differences = sum((line.mean_difference or 0.0) * line.windows for line in tallies)
    labels = dict.fromkeys(label for line in tallies for label in line.both)
    return ShadowReport(
        model=lines[0].model,
        shadow=lines[0].shadow,
        first=min(line.start or line.time for line in lines),
        last=max(line.time for line in lines),
        windows=windows,
        dropped_windows=sum(line.dropped_windows for line in tallies),
        differences=len(told) + sum(line.untold for line in tallies),
        mean_difference=round(differences / windows, 4) if windows else None,
        failed=next((line.time for line in reversed(tallies) if line.reason == "failed"), None),
        classes={label: _class_report(label, tallies) for label in labels},
        moments=tuple(map(_moment, sorted(told, key=_nearness)[:TOP_MOMENTS])),
    )


def _class_report(label: str, tallies: list[_Line]) -> ClassReport:
    both, only_model, only_shadow = (
        sum(counts.get(label, 0) for counts in each)
        for each in zip(*((line.both, line.only_model, line.only_shadow) for line in tallies), strict=True)
    )
    heard = both + only_model + only_shadow
    agreed = round(both / heard, 4) if heard else None
    return ClassReport(both=both, only_model=only_model, only_shadow=only_shadow, agreed=agreed)


def _nearness(line: _Line) -> float:
    return -abs(line.score - line.shadow_score)


def _moment(line: _Line) -> DifferenceMoment:
    return DifferenceMoment(
        time=line.time,
        source=line.source,
        class_=line.class_,
        score=line.score,
        threshold=line.threshold,
        shadow_score=line.shadow_score,
        shadow_threshold=line.shadow_threshold,
    )
