"""Two models' scores of the same windows, held against each other.

Conventions: a reducer as the stages are: state and one window's scores in, state and what there is to tell out, all
times in samples at the models' rate. A class is heard by a model whose score reaches that model's own threshold.
Rule: which windows are compared depends on where they lie in their stream, and on nothing else. A difference is told
once, when it begins: not again before both agree on that class, or the other one alone hears it. Of each hour of a
stream `MOST_AN_HOUR` are told, and the others counted.
Does not: run models (`shadow/runner.py`), or weigh evidence over several windows, as `detection/decide.py` does.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.types import Scores

MOST_AN_HOUR: Final = 30

Thresholds = tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class ModelPair:
    """Two models that hear the same windows.

    Attributes:
        model: Identity of the one that decides.
        shadow: Identity of the other.
        labels: The K classes of both.
        thresholds: In force for the one that decides, per class; None where it does not listen for it.
        shadow_thresholds: The same for the other.
        spec: The front end of both.
        every: Each so many-th window of a stream is compared.
        interval_samples: After how much of a stream it is told how it went, again and again; None for at its end only.
    """

    model: str
    shadow: str
    labels: tuple[str, ...]
    thresholds: Thresholds
    shadow_thresholds: Thresholds
    spec: FeatureSpec
    every: int
    interval_samples: int | None

    def is_due(self, window: Scores) -> bool:
        """Whether this window is to be compared: by its place, and only if no sound in it was lost."""
        number = window.first_sample // self.spec.window_hop_samples
        return window.complete and number % self.every == 0


@dataclass(frozen=True, slots=True)
class ScoreDifference:
    """One model begins to hear a class where the other does not.

    Attributes:
        class_id: The class's place among the labels.
        at_sample: The end of the window.
        score: Of the model that decides.
        shadow_score: Of the other.
    """

    class_id: int
    at_sample: int
    score: float
    shadow_score: float


@dataclass(frozen=True, slots=True)
class ComparisonTally:
    """How a stretch of a stream went.

    Attributes:
        both: Per class, how many windows both models heard it in.
        only_model: The same of the model that decides alone.
        only_shadow: The same of the other alone.
        windows: How many were compared.
        dropped_windows: How many were to be, but there was no time.
        untold: Differences that were not told one by one.
        difference_sum: Of each window's mean absolute difference of scores.
        first_sample: Where the first window begins.
        end_sample: Where the last one ends.
    """

    both: tuple[int, ...]
    only_model: tuple[int, ...]
    only_shadow: tuple[int, ...]
    windows: int = 0
    dropped_windows: int = 0
    untold: int = 0
    difference_sum: float = 0.0
    first_sample: int | None = None
    end_sample: int = 0

    @property
    def mean_difference(self) -> float | None:
        """Mean absolute difference of the two scores over windows and classes; None without a window."""
        return self.difference_sum / self.windows if self.windows else None


@dataclass(frozen=True, slots=True)
class ComparisonState:
    """Where the comparison of one stream stands.

    Attributes:
        tally: Since the last that was told.
        sides: Per class, what the latest window was like: 1 where only the model hears it, -1 where only the shadow
            does, 0 where they agree.
        hour: Of the stream, in which the latest window ended.
        told: Differences told in that hour.
        due_sample: Where the tally is told next; None before the first window.
    """

    tally: ComparisonTally
    sides: tuple[int, ...]
    hour: int = 0
    told: int = 0
    due_sample: int | None = None


def initial_state(pair: ModelPair) -> ComparisonState:
    """The state before the first window."""
    return ComparisonState(_no_tally(pair), (0,) * len(pair.labels))


def compare(
    state: ComparisonState, pair: ModelPair, scores: Scores, shadow: Scores, dropped_windows: int = 0
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """Take account of one more window.

    Args:
        state: After the window before.
        pair: The models.
        scores: Of the one that decides.
        shadow: Of the other, for the same window.
        dropped_windows: How many before this one were to be compared, but were not.

    Returns:
        The state after it, and what is to be told: differences that begin here, and the tally if it is time.
    """
    ours, theirs = scores.values.tolist(), shadow.values.tolist()
    heard = tuple(map(_reaches, ours, pair.thresholds))
    heard_beside = tuple(map(_reaches, theirs, pair.shadow_thresholds))
    sides = tuple(one - other for one, other in zip(heard, heard_beside, strict=True))
    hour = scores.end_sample // (3600 * pair.spec.rate_hz)
    told_before = state.told if hour == state.hour else 0
    begin = [
        ScoreDifference(class_id, scores.end_sample, ours[class_id], theirs[class_id])
        for class_id, (before, side) in enumerate(zip(state.sides, sides, strict=True))
        if side and side != before
    ]
    told: list[ScoreDifference | ComparisonTally] = [*begin[: MOST_AN_HOUR - told_before]]
    told_after = told_before + len(told)
    tally = state.tally
    tally = ComparisonTally(
        both=_added(tally.both, (one & other for one, other in zip(heard, heard_beside, strict=True))),
        only_model=_added(tally.only_model, (side > 0 for side in sides)),
        only_shadow=_added(tally.only_shadow, (side < 0 for side in sides)),
        windows=tally.windows + 1,
        dropped_windows=tally.dropped_windows + dropped_windows,
        untold=tally.untold + len(begin) - len(told),
        difference_sum=tally.difference_sum + _mean_difference(ours, theirs),
        first_sample=scores.first_sample if tally.first_sample is None else tally.first_sample,
        end_sample=scores.end_sample,
    )
    due_sample, is_due = _due(state.due_sample, pair, scores)
    if is_due:
        told.append(tally)
        tally = _no_tally(pair)
    return ComparisonState(tally, sides, hour, told_after, due_sample), told


def finish(state: ComparisonState, dropped_windows: int, at_sample: int) -> ComparisonTally:
    """The last tally of a stream, with the windows that were dropped since the last one that was compared."""
    tally = state.tally
    end_sample = max(tally.end_sample, at_sample if dropped_windows or not tally.windows else 0)
    return replace(tally, dropped_windows=tally.dropped_windows + dropped_windows, end_sample=end_sample)


def _no_tally(pair: ModelPair) -> ComparisonTally:
    none = (0,) * len(pair.labels)
    return ComparisonTally(none, none, none)


def _reaches(score: float, threshold: float | None) -> int:
    return int(threshold is not None and score >= threshold)


def _added(counts: tuple[int, ...], more: Iterable[int]) -> tuple[int, ...]:
    return tuple(count + one for count, one in zip(counts, more, strict=True))


def _mean_difference(ours: list[float], theirs: list[float]) -> float:
    return sum(abs(one - other) for one, other in zip(ours, theirs, strict=True)) / len(ours)


def _due(due_sample: int | None, pair: ModelPair, scores: Scores) -> tuple[int | None, bool]:
    """Where the tally is told next, and whether it is told now: at whole intervals of the stream."""
    period = pair.interval_samples
    if period is None:
        return None, False
    due = due_sample or (scores.first_sample // period + 1) * period
    if scores.end_sample < due:
        return due, False
    return (scores.end_sample // period + 1) * period, True
