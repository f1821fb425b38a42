"""Comparison of two models' scores, window by window.

Conventions: a reducer, as the stages are: state and one window's scores in, state and results out. Times are in
samples at the models' rate. A model detects a class in a window where the score reaches that model's threshold.
Rule: the position of a window in its stream alone decides whether it is compared. A difference is reported once, when
it begins, and again only after both models agreed on the class or the other model alone detected it. In each hour of a
stream `MAX_DIFFERENCES_PER_HOUR` differences are reported; further ones are counted.
Does not: run models (`shadow/runner.py`), or combine windows into events, as `detection/decide.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.model.feature_spec import FeatureSpec
from soundwatch.daemon.core.records.scores import Scores

MAX_DIFFERENCES_PER_HOUR: Final = 30

Thresholds = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ModelPair:
    """The active model, its shadow, and the parameters of their comparison.

    Attributes:
        model: Identity of the active model.
        shadow: Identity of the shadow model.
        labels: The K classes of both models.
        thresholds: Thresholds of the active model, one for each class; None for a class that is not detected.
        shadow_thresholds: Thresholds of the shadow model, in the form of `thresholds`.
        spec: The front end of both models.
        stride_windows: One window in so many is compared.
        interval_samples: Interval between two tallies of a stream; None for one tally at its end.
        sources: Thresholds of both models for each configured source: name, active model, shadow model.
    """

    model: str
    shadow: str
    labels: tuple[str, ...]
    thresholds: Thresholds
    shadow_thresholds: Thresholds
    spec: FeatureSpec
    stride_windows: int
    interval_samples: int | None
    sources: tuple[tuple[str, Thresholds, Thresholds], ...] = ()

    def for_source(self, source: str) -> ModelPair:
        """Return the pair with the thresholds of a source."""
        for name, thresholds, shadow_thresholds in self.sources:
            if name == source:
                return replace(self, thresholds=thresholds, shadow_thresholds=shadow_thresholds)
        return self

    def is_due(self, window: Scores) -> bool:
        """Return True if this window is to be compared: by its position, and if no sound in it was lost."""
        number = window.first_sample // self.spec.window_hop_samples
        return window.complete and number % self.stride_windows == 0


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """One model begins to detect a class that the other does not detect.

    Attributes:
        class_id: Index of the class among the labels.
        at_sample: End of the window.
        score: Score of the active model.
        shadow_score: Score of the shadow model.
    """

    class_id: int
    at_sample: int
    score: float
    shadow_score: float


@dataclass(frozen=True, slots=True)
class ComparisonTally:
    """Counts of one part of a stream.

    Attributes:
        both: Number of windows in which both models detected the class, for each class.
        only_model: Number of windows in which the active model alone detected the class.
        only_shadow: Number of windows in which the shadow model alone detected the class.
        windows: Number of windows compared.
        dropped_windows: Number of windows dropped because the queue was full.
        unreported: Number of differences above the limit per hour.
        difference_sum: Sum over the windows of the mean absolute difference of scores.
        first_sample: Start of the first window.
        end_sample: End of the last window.
    """

    both: tuple[int, ...]
    only_model: tuple[int, ...]
    only_shadow: tuple[int, ...]
    windows: int = 0
    dropped_windows: int = 0
    unreported: int = 0
    difference_sum: float = 0.0
    first_sample: int | None = None
    end_sample: int = 0

    @property
    def mean_difference(self) -> float | None:
        """Mean absolute difference of scores over windows and classes; None without a window."""
        return self.difference_sum / self.windows if self.windows else None

    def with_window(self, scores: Scores, detected: Sequence[int], shadow_detected: Sequence[int]) -> ComparisonTally:
        """Return the counts with one more window, by 1 for each class that a model detected in it, else 0."""
        pairs = list(zip(detected, shadow_detected, strict=True))
        return replace(
            self,
            both=_added(self.both, (a & b for a, b in pairs)),
            only_model=_added(self.only_model, (a > b for a, b in pairs)),
            only_shadow=_added(self.only_shadow, (a < b for a, b in pairs)),
            windows=self.windows + 1,
            first_sample=scores.first_sample if self.first_sample is None else self.first_sample,
            end_sample=scores.end_sample,
        )


@dataclass(frozen=True, slots=True)
class ComparisonState:
    """State of the comparison of one stream.

    Attributes:
        tally: Counts since the last reported tally.
        signs: For each class in the latest window: 1 if the active model alone detected it, -1 if the shadow model
            alone did, 0 if they agree.
        hour: Hour of the stream in which the latest window ended.
        reported: Number of differences reported in that hour.
        due_sample: Sample at which the next tally is due; None before the first window.
    """

    tally: ComparisonTally
    signs: tuple[int, ...]
    hour: int = 0
    reported: int = 0
    due_sample: int | None = None


def initial_state(pair: ModelPair) -> ComparisonState:
    """Return the state before the first window."""
    return ComparisonState(_empty_tally(pair), (0,) * len(pair.labels))


def compare(
    state: ComparisonState, pair: ModelPair, scores: Scores, shadow: Scores, dropped_windows: int = 0
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """Compare the scores of one more window.

    Args:
        state: State after the previous window.
        pair: The models.
        scores: Scores of the active model.
        shadow: Scores of the shadow model for the same window.
        dropped_windows: Number of windows dropped since the previous one.

    Returns:
        The new state, and the results: differences that begin in this window, and the tally if it is due.
    """
    values, shadow_values = scores.values.tolist(), shadow.values.tolist()
    detected = tuple(map(_reaches, values, pair.thresholds))
    shadow_detected = tuple(map(_reaches, shadow_values, pair.shadow_thresholds))
    signs = tuple(a - b for a, b in zip(detected, shadow_detected, strict=True))
    hour = scores.end_sample // (3600 * pair.spec.rate_hz)
    reported = state.reported if hour == state.hour else 0
    beginning = [
        ScoreDifference(class_id, scores.end_sample, values[class_id], shadow_values[class_id])
        for class_id, (previous, sign) in enumerate(zip(state.signs, signs, strict=True))
        if sign and sign != previous
    ]
    results: list[ScoreDifference | ComparisonTally] = [*beginning[: MAX_DIFFERENCES_PER_HOUR - reported]]
    reported += len(results)
    tally = state.tally.with_window(scores, detected, shadow_detected)
    tally = replace(
        tally,
        dropped_windows=tally.dropped_windows + dropped_windows,
        unreported=tally.unreported + len(beginning) - len(results),
        difference_sum=tally.difference_sum + _mean_difference(values, shadow_values),
    )
    due_sample, is_due = _due(state.due_sample, pair, scores)
    if is_due:
        results.append(tally)
        tally = _empty_tally(pair)
    return ComparisonState(tally, signs, hour, reported, due_sample), results


def finish(state: ComparisonState, dropped_windows: int, at_sample: int) -> ComparisonTally:
    """Return the last tally of a stream, with the windows dropped since the last one compared."""
    tally = state.tally
    end_sample = max(tally.end_sample, at_sample if dropped_windows or not tally.windows else 0)
    return replace(tally, dropped_windows=tally.dropped_windows + dropped_windows, end_sample=end_sample)


def _empty_tally(pair: ModelPair) -> ComparisonTally:
    zeros = (0,) * len(pair.labels)
    return ComparisonTally(zeros, zeros, zeros)


def _reaches(score: float, threshold: float | None) -> int:
    return int(threshold is not None and score >= threshold)


def _added(counts: tuple[int, ...], increments: Iterable[int]) -> tuple[int, ...]:
    return tuple(count + increment for count, increment in zip(counts, increments, strict=True))


def _mean_difference(values: list[float], shadow_values: list[float]) -> float:
    return sum(abs(a - b) for a, b in zip(values, shadow_values, strict=True)) / len(values)


def _due(due_sample: int | None, pair: ModelPair, scores: Scores) -> tuple[int | None, bool]:
    """Return the sample at which the next tally is due, and True if one is due now; intervals count from sample 0."""
    period = pair.interval_samples
    if period is None:
        return None, False
    due = due_sample or (scores.first_sample // period + 1) * period
    if scores.end_sample < due:
        return due, False
    return (scores.end_sample // period + 1) * period, True
