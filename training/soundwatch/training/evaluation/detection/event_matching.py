"""Matching of estimated events to reference events: sed_eval's event-based metric, by onset.

Conventions: times in seconds. An estimated event may match a reference event of its class whose onset is at most
the collar away, before or after. Each event is in at most one pair, and the number of pairs is maximal.
Source: Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016; the counts
are those of sed_eval 0.2.1's `EventBasedMetrics` with `evaluate_offset=False`; a golden file
verifies them. The package itself brings 47 others (640 MB: librosa, numba, a video downloader) and is not needed.
Does not: compare offsets; a window of some seconds blurs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class TimedLabel(NamedTuple):
    """Reference or estimated event.

    Attributes:
        label: Class.
        onset_s: Onset from the start of the recording.
    """

    label: str
    onset_s: float


class MatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """Counts and metrics of a matching.

    Attributes:
        reference: Number of reference events (sed_eval's Nref; `there` in JSON).
        estimated: Number of estimated events (Nsys; `told` in JSON).
        matched: Number of matched pairs (Ntp; `right` in JSON).
        recall: matched / reference; None without reference events.
        precision: matched / estimated; None without estimated events.
        f1: Harmonic mean of recall and precision; None without any event.
    """

    reference: int = msgspec.field(name="there")
    estimated: int = msgspec.field(name="told")
    matched: int = msgspec.field(name="right")
    recall: float | None
    precision: float | None
    f1: float | None


def match_events(
    reference: Sequence[TimedLabel], estimated: Sequence[TimedLabel], collar_s: float
) -> list[tuple[int, int]]:
    """Compute a maximum matching: index pairs into `reference` and `estimated`, ordered by reference onset.

    All collars are equal, so the earliest acceptable event for the earliest reference
    event never costs a pair.
    """
    pairs = []
    for label in sorted({item.label for item in reference}):
        waiting = iter(sorted(_of(label, estimated), key=lambda index: estimated[index].onset_s))
        event = next(waiting, None)
        for target in sorted(_of(label, reference), key=lambda index: reference[index].onset_s):
            while event is not None and reference[target].onset_s - estimated[event].onset_s > collar_s:
                event = next(waiting, None)
            if event is not None and estimated[event].onset_s - reference[target].onset_s <= collar_s:
                pairs.append((target, event))
                event = next(waiting, None)
    return sorted(pairs, key=lambda pair: reference[pair[0]].onset_s)


def _of(label: str, items: Sequence[TimedLabel]) -> list[int]:
    return [index for index, item in enumerate(items) if item.label == label]


def count_matches(
    reference: Sequence[TimedLabel],
    estimated: Sequence[TimedLabel],
    pairs: Sequence[tuple[int, int]],
    label: str | None,
) -> MatchCounts:
    """Compute the counts of one class, or of all classes for None."""
    if label is None:
        return figures(len(reference), len(estimated), len(pairs))
    matched = sum(reference[target].label == label for target, _ in pairs)
    return figures(len(_of(label, reference)), len(_of(label, estimated)), matched)


def figures(reference: int, estimated: int, matched: int) -> MatchCounts:
    """Build `MatchCounts`; a ratio with denominator 0 is None."""
    return MatchCounts(
        reference=reference,
        estimated=estimated,
        matched=matched,
        recall=_share(matched, reference),
        precision=_share(matched, estimated),
        f1=_share(2 * matched, reference + estimated),
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
