"""Report on streets and everyday sounds: share found, false events per hour, latency.

Intervals: 95 %, by resampling minutes (`RESAMPLES` times) for the scenes' rates and shares, Wilson's for shares of
clips.
Does not: compute scores (`street_events.py`), or print (`evaluation/pages/event_page.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from soundwatch.daemon.core.model.contract import ModelContract
from soundwatch.training.data.datasets.everyday_sounds import EverydayClip, Role
from soundwatch.training.evaluation.detection.score_track import Track, detect_in
from soundwatch.training.evaluation.recordings.openset import wilson
from soundwatch.training.evaluation.streets.event_counts import GRID, SceneCounts, mean_rates, raised_by_clips
from soundwatch.training.evaluation.streets.held_out import HeldOut
from soundwatch.training.evaluation.streets.street import Delay, delay_of
from soundwatch.training.evaluation.streets.street_events import (
    ScoredStreet,
    negatives_by_group,
    score_clips,
    score_streets,
    street_material,
)

RESAMPLES: Final = 1000
CURVE_RATES_PER_H: Final = (0.25, 0.5, 1.0, 2.0, 4.0)
TEST_ROLES: Final[tuple[Role, ...]] = ("test_recordings", "test_kinds")
ALL_ROLES: Final[tuple[Role, ...]] = ("train", "validation", *TEST_ROLES)
_TOP_SOURCES: Final = 8


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """Figure with its 95 % confidence interval."""

    value: float
    low: float
    high: float


class ClassInStreet(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of one class in a scenario.

    Attributes:
        threshold: Threshold in force.
        there: Number of targets.
        found: Share of found targets; None without targets.
        false_per_h: False events per hour.
        delay_s: Time from onset to line; None without found targets.
        sources: Most frequent sounds at the start of false events.
    """

    threshold: float
    there: int
    found: Interval | None
    false_per_h: Interval
    delay_s: Delay | None
    sources: dict[str, int]


class ScenarioFigures(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of a model in one scenario.

    Attributes:
        snr_db: Level of targets above the background.
        negatives_per_h: Hard negatives per hour.
        hours: Length.
        backgrounds: Number of background recordings.
        found: Share of found targets, over all classes.
        found_of_classes: Mean of the shares of the classes.
        false_per_h: False events per hour, over all classes.
        delay_s: Time from onset to line; None without found targets.
        classes: Figures per class.
    """

    snr_db: float
    negatives_per_h: float
    hours: float
    backgrounds: int
    found: Interval
    found_of_classes: float
    false_per_h: Interval
    delay_s: Delay | None
    classes: dict[str, ClassInStreet]


class Raised(msgspec.Struct, frozen=True, kw_only=True):
    """Figures of negatives, each played alone.

    Attributes:
        clips: Number of clips.
        recordings: Number of original recordings.
        kinds: Number of kinds.
        share: Share of clips that raised an event.
        classes: Number of clips that raised each class.
    """

    clips: int
    recordings: int
    kinds: int
    share: Interval
    classes: dict[str, int]


class EventReport(msgspec.Struct, frozen=True, kw_only=True):
    """Report of a model on streets and everyday sounds.

    Attributes:
        model: Name and hash of the model.
        provider: Execution provider.
        folds: UrbanSound8K folds of the targets.
        trained_on_these: Folds that the model was trained on: their shares found measure memory.
        roles: Roles of the everyday sounds.
        seed: Random seed.
        targets: Number of available targets.
        negatives: Number of available negatives.
        scenarios: Figures per scenario.
        raised: Figures of single clips, per group.
        curves: Points (threshold, share found, false events per hour) per class, averaged over scenarios.
    """

    model: str
    provider: str
    folds: tuple[int, ...]
    trained_on_these: tuple[int, ...]
    roles: tuple[Role, ...]
    seed: int
    targets: int
    negatives: int
    scenarios: tuple[ScenarioFigures, ...]
    raised: dict[str, Raised]
    curves: dict[str, tuple[tuple[float, float, float], ...]]


def report_events(
    held_out: HeldOut,
    sounds: Sequence[EverydayClip],
    roles: Sequence[Role],
    minutes: float,
    seed: int,
    console: Console,
    cache: Path | None = None,
) -> EventReport:
    """Evaluate a network on streets of these roles, and on their recordings one by one.

    Raises:
        DataError: There are too few clips for a street, or one cannot be read.
    """
    classifier, contract = held_out.classifier, held_out.classifier.contract
    material = street_material(held_out.targets, sounds, roles)
    streets = score_streets(classifier, material, minutes, seed, console, f"{roles} {held_out.folds}", cache)
    groups = negatives_by_group(sounds, roles)
    return EventReport(
        model=contract.identity,
        provider=classifier.provider,
        folds=held_out.folds,
        trained_on_these=held_out.learned,
        roles=tuple(roles),
        seed=seed,
        targets=len(material.targets),
        negatives=len(material.negatives),
        scenarios=tuple(scenario_figures(street, contract, contract.thresholds, seed) for street in streets),
        raised={
            name: raised_figures(clips, score_clips(classifier, clips, console, cache), contract, contract.thresholds)
            for name, clips in groups.items()
        },
        curves=_curves(streets, contract),
    )


def _curves(
    streets: Sequence[ScoredStreet], contract: ModelContract
) -> dict[str, tuple[tuple[float, float, float], ...]]:
    """Compute a point (threshold, found, false events per hour) for each class and threshold of the grid."""
    rows = [[threshold] * len(contract.labels) for threshold in GRID]
    found, false = mean_rates([street.count(contract, rows) for street in streets])
    return {
        label: tuple(
            (threshold, round(float(found[row, k]), 4), round(float(false[row, k]), 3))
            for row, threshold in enumerate(GRID)
        )
        for k, label in enumerate(contract.labels)
    }


def scenario_figures(
    street: ScoredStreet, contract: ModelContract, thresholds: dict[str, float], seed: int
) -> ScenarioFigures:
    """Compute the figures of a scenario at these thresholds."""
    counts = street.count(contract, [[thresholds[label] for label in contract.labels]])
    return count_figures(counts, street.snr_db, street.negatives_per_h, street.backgrounds, thresholds, seed)


def count_figures(
    counts: SceneCounts,
    snr_db: float,
    negatives_per_h: float,
    backgrounds: int,
    thresholds: dict[str, float],
    seed: int,
) -> ScenarioFigures:
    """Compute figures from the first row of counts, at thresholds in the order of its classes."""
    draws = _draws(counts.there.shape[1], seed)
    there, found, false = counts.there, counts.found[0], counts.false[0]
    classes = {
        label: ClassInStreet(
            threshold=thresholds[label],
            there=int(there[k].sum()),
            found=_share(found[k], there[k], draws) if there[k].sum() else None,
            false_per_h=_rate(false[k], counts.hours, draws),
            delay_s=delay_of(counts.delays_s[0][k]),
            sources=dict(Counter(counts.false_kinds[0][k]).most_common(_TOP_SOURCES)),
        )
        for k, label in enumerate(thresholds)
    }
    shares = [class_.found.value for class_ in classes.values() if class_.found is not None]
    return ScenarioFigures(
        snr_db=snr_db,
        negatives_per_h=negatives_per_h,
        hours=round(counts.hours, 3),
        backgrounds=backgrounds,
        found=_share(found.sum(axis=0), there.sum(axis=0), draws),
        found_of_classes=round(float(np.mean(shares)), 4),
        false_per_h=_rate(false.sum(axis=0), counts.hours, draws),
        delay_s=delay_of([delay for item in counts.delays_s[0] for delay in item]),
        classes=classes,
    )


def raised_figures(
    clips: Sequence[EverydayClip], tracks: Sequence[Track], contract: ModelContract, thresholds: dict[str, float]
) -> Raised:
    """Compute the share of clips that raise an event at these thresholds."""
    row = [thresholds[label] for label in contract.labels]
    raised = raised_by_clips(clips, ([detect_in(track, contract, row)] for track in tracks), contract.labels, 1)[0]
    return raised_share(clips, raised, contract.labels)


def raised_share(clips: Sequence[EverydayClip], raised: NDArray[np.bool_], labels: Sequence[str]) -> Raised:
    """Compute the share of clips with any raised class (K, N)."""
    hits = int(raised.any(axis=0).sum())
    low, high = wilson(hits, len(clips))
    return Raised(
        clips=len(clips),
        recordings=len({clip.recording for clip in clips}),
        kinds=len({clip.kind for clip in clips}),
        share=Interval(value=round(hits / len(clips), 4), low=round(low, 4), high=round(high, 4)),
        classes={label: int(raised[k].sum()) for k, label in enumerate(labels) if raised[k].any()},
    )


def _draws(minutes: int, seed: int) -> NDArray[np.int64]:
    """Draw the count of each minute in each resample, (R, M)."""
    rng = np.random.default_rng(seed)
    return np.array([np.bincount(rng.integers(minutes, size=minutes), minlength=minutes) for _ in range(RESAMPLES)])


def _share(part: NDArray[np.int32], whole: NDArray[np.int32], draws: NDArray[np.int64]) -> Interval:
    shares = (draws @ part) / np.maximum(draws @ whole, 1)
    return _interval(part.sum() / max(1, whole.sum()), shares)


def _rate(events: NDArray[np.int32], hours: float, draws: NDArray[np.int64]) -> Interval:
    return _interval(events.sum() / hours, (draws @ events) / hours)


def _interval(value: float, resampled: NDArray[np.float64]) -> Interval:
    low, high = np.percentile(resampled, [2.5, 97.5])
    return Interval(value=round(float(value), 4), low=round(float(low), 4), high=round(float(high), 4))
