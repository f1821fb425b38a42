"""What streets and everyday sounds say of a model, as records: found, false events an hour, latency.

Intervals: 95 %, by resampling minutes (`RESAMPLES` times) for the scenes' rates and shares, Wilson's for shares of
clips.
Does not: score sound (`street_events.py`), or print (`event_page.py`).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

from soundwatch.daemon.core.contract import ModelContract
from soundwatch.training.data.everyday_sounds import EverydayClip, Role
from soundwatch.training.evaluation.event_counts import raised_by_clips
from soundwatch.training.evaluation.openset import wilson
from soundwatch.training.evaluation.score_track import Track, detect_in
from soundwatch.training.evaluation.street import Delay
from soundwatch.training.evaluation.street_events import ScoredStreet

RESAMPLES: Final = 1000
_TOP_SOURCES: Final = 8


class Interval(msgspec.Struct, frozen=True, kw_only=True):
    """A figure and its 95 % interval."""

    value: float
    low: float
    high: float


class ClassInStreet(msgspec.Struct, frozen=True, kw_only=True):
    """One class in a scenario.

    Attributes:
        threshold: In force.
        there: Targets.
        found: Share of them; None without targets.
        false_per_h: False events an hour.
        delay_s: From onset to line; None where nothing was found.
        sources: Sounds that were on when false events began, the most frequent ones.
    """

    threshold: float
    there: int
    found: Interval | None
    false_per_h: Interval
    delay_s: Delay | None
    sources: dict[str, int]


class ScenarioFigures(msgspec.Struct, frozen=True, kw_only=True):
    """A model in one scenario.

    Attributes:
        snr_db: Targets above the background.
        negatives_per_h: Hard negatives an hour.
        hours: Length.
        backgrounds: Recordings that it was built on.
        found: Share of all targets.
        found_of_classes: Mean of the classes' shares.
        false_per_h: False events an hour, all classes.
        delay_s: From onset to line; None where nothing was found.
        classes: Per label.
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
    """Clips of none of the classes, played one by one.

    Attributes:
        clips: How many.
        recordings: That these were cut from.
        kinds: How many.
        share: Of clips that raised an event.
        classes: Clips that raised each class.
    """

    clips: int
    recordings: int
    kinds: int
    share: Interval
    classes: dict[str, int]


class EventReport(msgspec.Struct, frozen=True, kw_only=True):
    """A model in streets and among everyday sounds.

    Attributes:
        model: Its name and hash.
        provider: What ran it.
        folds: That UrbanSound8K's targets come from.
        trained_on_these: Those of them that the model was trained on: shares found measure memory there.
        roles: Of the everyday sounds.
        seed: Of every draw.
        targets: Clips of the classes to draw from.
        negatives: Clips of none of them to draw from.
        scenarios: In order.
        raised: Under a group's name.
        curves: Per class, points (threshold, found share, false events an hour), the mean over scenarios.
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


def scenario_figures(
    street: ScoredStreet, contract: ModelContract, thresholds: dict[str, float], seed: int
) -> ScenarioFigures:
    """What a scenario gave at these thresholds."""
    counts = street.count(contract, [[thresholds[label] for label in contract.labels]])
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
        for k, label in enumerate(contract.labels)
    }
    shares = [each.found.value for each in classes.values() if each.found is not None]
    return ScenarioFigures(
        snr_db=street.snr_db,
        negatives_per_h=street.negatives_per_h,
        hours=round(counts.hours, 3),
        backgrounds=len({each.recording for scene, _ in street.scenes for each in scene.backgrounds}),
        found=_share(found.sum(axis=0), there.sum(axis=0), draws),
        found_of_classes=round(float(np.mean(shares)), 4),
        false_per_h=_rate(false.sum(axis=0), counts.hours, draws),
        delay_s=delay_of([delay for each in counts.delays_s[0] for delay in each]),
        classes=classes,
    )


def raised_figures(
    clips: Sequence[EverydayClip], tracks: Sequence[Track], contract: ModelContract, thresholds: dict[str, float]
) -> Raised:
    """How many of these clips raise an event at these thresholds."""
    row = [thresholds[label] for label in contract.labels]
    raised = raised_by_clips(clips, ([detect_in(each, contract, row)] for each in tracks), contract.labels, 1)[0]
    hits = int(raised.any(axis=0).sum())
    low, high = wilson(hits, len(clips))
    return Raised(
        clips=len(clips),
        recordings=len({clip.recording for clip in clips}),
        kinds=len({clip.kind for clip in clips}),
        share=Interval(value=round(hits / len(clips), 4), low=round(low, 4), high=round(high, 4)),
        classes={label: int(raised[k].sum()) for k, label in enumerate(contract.labels) if raised[k].any()},
    )


def delay_of(delays_s: Sequence[float]) -> Delay | None:
    """Median and 95 % of these delays; None of none."""
    if not delays_s:
        return None
    median, p95 = np.percentile(delays_s, [50, 95])
    return Delay(median=round(float(median), 2), p95=round(float(p95), 2))


def _draws(minutes: int, seed: int) -> NDArray[np.int64]:
    """How often each minute is in each resample, (R, M)."""
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
