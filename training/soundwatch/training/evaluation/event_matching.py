"""Events told against sounds that were there: sed_eval's event-based measure, by onset.

Conventions: times in seconds. An event may be matched to a sound of its class whose onset is at most
the collar away, before or after; each to one at most, as many pairs as can be made.
Source: Mesaros, Heittola and Virtanen, "Metrics for Polyphonic Sound Event Detection", 2016; the counts
are those of sed_eval 0.2.1's `EventBasedMetrics` with `evaluate_offset=False`, which a golden file holds
them to. The package itself brings 47 others (640 MB: librosa, numba, a video downloader) and is not needed.
Does not: look at offsets; a window of some seconds blurs them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec


class TimedLabel(NamedTuple):
    """One sound that was there, or one event that was told.

    Attributes:
        label: Its class.
        onset_s: When it began, from the start of the recording.
    """

    label: str
    onset_s: float


class MatchCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How events fit sounds.

    Attributes:
        there: Sounds that were there (sed_eval's Nref).
        told: Events that were told (Nsys).
        right: Of both, those matched to each other (Ntp).
        recall: right / there; None where nothing was there.
        precision: right / told; None where nothing was told.
        f1: Harmonic mean of the two; None where neither anything was there nor told.
    """

    there: int
    told: int
    right: int
    recall: float | None
    precision: float | None
    f1: float | None


def match_events(there: Sequence[TimedLabel], told: Sequence[TimedLabel], collar_s: float) -> list[tuple[int, int]]:
    """The largest matching: pairs of places in `there` and in `told`, ordered by the sounds' onsets.

    Every sound accepts events of one width, so taking the earliest acceptable event for the earliest
    sound never costs a pair.
    """
    pairs = []
    for label in sorted({mark.label for mark in there}):
        waiting = iter(sorted(_of(label, told), key=lambda place: told[place].onset_s))
        event = next(waiting, None)
        for sound in sorted(_of(label, there), key=lambda place: there[place].onset_s):
            while event is not None and there[sound].onset_s - told[event].onset_s > collar_s:
                event = next(waiting, None)
            if event is not None and told[event].onset_s - there[sound].onset_s <= collar_s:
                pairs.append((sound, event))
                event = next(waiting, None)
    return sorted(pairs, key=lambda pair: there[pair[0]].onset_s)


def _of(label: str, marks: Sequence[TimedLabel]) -> list[int]:
    return [place for place, mark in enumerate(marks) if mark.label == label]


def count_matches(
    there: Sequence[TimedLabel], told: Sequence[TimedLabel], pairs: Sequence[tuple[int, int]], label: str | None
) -> MatchCounts:
    """Figures of one class, or of all with None."""
    if label is None:
        return figures(len(there), len(told), len(pairs))
    right = sum(there[sound].label == label for sound, _ in pairs)
    return figures(len(_of(label, there)), len(_of(label, told)), right)


def figures(there: int, told: int, right: int) -> MatchCounts:
    """Figures of these counts; a share of nothing is None."""
    return MatchCounts(
        there=there,
        told=told,
        right=right,
        recall=_share(right, there),
        precision=_share(right, told),
        f1=_share(2 * right, there + told),
    )


def pool_counts(parts: Sequence[MatchCounts]) -> MatchCounts:
    """Figures of several recordings together."""
    return figures(
        sum(part.there for part in parts), sum(part.told for part in parts), sum(part.right for part in parts)
    )


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
