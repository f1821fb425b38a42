"""Two models' scores held against each other, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.types import Block, Features, Scores
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import batched_features, features_only
from soundwatch.daemon.shadow.compare import (
    MOST_AN_HOUR,
    ComparisonState,
    ComparisonTally,
    ModelPair,
    ScoreDifference,
    compare,
    finish,
    initial_state,
)
from support.fakes import SMALL_CONTRACT, SMALL_SPEC, BandClassifier, silence, tone

PAIR = ModelPair("a@sha256:1", "b@sha256:2", ("low", "high"), (0.5, 0.5), (0.5, 0.6), SMALL_SPEC, 1, None)
HOP_SAMPLES = SMALL_SPEC.window_hop_samples


def window(number: int, low: float, high: float = 0.0, complete: bool = True) -> Scores:
    first = number * HOP_SAMPLES
    values = np.array([low, high], np.float32)
    return Scores(values, PAIR.labels, first, first + SMALL_SPEC.window_samples, complete)


def told_of(
    scores: Sequence[tuple[float, float]], pair: ModelPair = PAIR, hops: int = 1
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """What is told of windows in which `low` has these scores by the one and the other."""
    state, told = initial_state(pair), list[ScoreDifference | ComparisonTally]()
    for number, (ours, theirs) in enumerate(scores):
        state, more = compare(state, pair, window(number * hops, ours), window(number * hops, theirs))
        told += more
    return state, told


def test_a_difference_is_told_when_it_begins_and_not_again_while_it_lasts() -> None:
    state, told = told_of([(0.1, 0.1), (0.9, 0.2), (0.8, 0.1), (0.9, 0.9), (0.9, 0.3), (0.2, 0.7)])
    assert [(each.at_sample, round(each.score, 4)) for each in told if isinstance(each, ScoreDifference)] == [
        (HOP_SAMPLES + SMALL_SPEC.window_samples, 0.9),
        (4 * HOP_SAMPLES + SMALL_SPEC.window_samples, 0.9),
        (5 * HOP_SAMPLES + SMALL_SPEC.window_samples, 0.2),
    ]
    tally = state.tally
    assert (tally.both, tally.only_model, tally.only_shadow) == ((1, 0), (3, 0), (1, 0))
    assert (tally.windows, tally.untold, tally.first_sample) == (6, 0, 0)
    assert tally.mean_difference == pytest.approx((0 + 0.7 + 0.7 + 0 + 0.6 + 0.5) / 2 / 6, abs=1e-6)


def test_each_model_has_thresholds_of_its_own_and_a_class_without_one_is_never_heard() -> None:
    _, told = compare(initial_state(PAIR), PAIR, window(0, 0.5, 0.55), window(0, 0.5, 0.55))
    [difference] = told
    assert isinstance(difference, ScoreDifference)
    assert (difference.class_id, difference.at_sample) == (1, SMALL_SPEC.window_samples)
    assert (difference.score, difference.shadow_score) == pytest.approx((0.55, 0.55))
    deaf = replace(PAIR, thresholds=(None, 0.5))
    state, told = compare(initial_state(deaf), deaf, window(0, 1.0), window(0, 1.0))
    assert [type(each) for each in told] == [ScoreDifference]
    assert state.tally.only_shadow == (1, 0)


def test_of_an_hour_so_many_are_told_and_the_others_counted() -> None:
    flicker = [(0.9, 0.1), (0.1, 0.1)] * (MOST_AN_HOUR + 5)
    state, told = told_of(flicker)
    assert len(told) == MOST_AN_HOUR
    assert state.tally.untold == 5
    hour_hops = 3600 * SMALL_SPEC.rate_hz // HOP_SAMPLES
    later = hour_hops + len(flicker)
    state, told = compare(state, PAIR, window(later, 0.9), window(later, 0.1))
    assert len(told) == 1


def test_the_tally_is_told_at_whole_intervals_of_the_stream_and_begins_anew() -> None:
    pair = replace(PAIR, interval_samples=10 * HOP_SAMPLES)
    state, told = told_of([(0.9, 0.1)] * 25, pair)
    tallies = [each for each in told if isinstance(each, ComparisonTally)]
    assert [(each.end_sample // HOP_SAMPLES, each.windows) for each in tallies] == [(10, 7), (20, 10)]
    assert (state.tally.windows, state.tally.first_sample) == (8, 17 * HOP_SAMPLES)
    assert sum(isinstance(each, ScoreDifference) for each in told) == 1, "it is still the same difference"


def test_a_comparison_that_begins_late_in_a_stream_waits_for_the_next_whole_interval() -> None:
    pair = replace(PAIR, interval_samples=100 * HOP_SAMPLES)
    state, told = compare(initial_state(pair), pair, window(1234, 0.0), window(1234, 0.0))
    assert told == []
    assert state.due_sample == 1300 * HOP_SAMPLES


def test_dropped_windows_are_counted_also_where_nothing_comes_after_them() -> None:
    state, _ = compare(initial_state(PAIR), PAIR, window(3, 0.0), window(3, 0.0), dropped_windows=3)
    tally = finish(state, 2, 99_999)
    assert (tally.windows, tally.dropped_windows, tally.end_sample) == (1, 5, 99_999)
    assert finish(initial_state(PAIR), 0, 7).mean_difference is None


def test_windows_with_lost_sound_are_not_compared() -> None:
    assert PAIR.is_due(window(4, 0.0))
    assert not PAIR.is_due(window(4, 0.0, complete=False))


class Half(BandClassifier):
    """A model that is half as sure."""

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().classify(mel_db) / np.float32(2)


SOUND = np.concatenate([silence(0.5), tone(300, 1.1), silence(0.4), tone(3000, 0.9), silence(0.6)], axis=1)


def compared(
    cuts: Sequence[int], batch_windows: int, pair: ModelPair
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """The whole of a sound, cut into blocks at these samples."""
    edges = sorted({0, SOUND.shape[1], *cuts})
    blocks = [Block(SOUND[:, first:end], SMALL_SPEC.rate_hz, first) for first, end in pairwise(edges)]
    state, told = initial_state(pair), list[ScoreDifference | ComparisonTally]()
    for _, heard in batched_features([*blocks, None], SMALL_SPEC, batch_windows):
        windows: list[Features] = features_only(heard)
        for window_, scores in zip(windows, classify_windows(BandClassifier(), windows), strict=True):
            if pair.is_due(scores):
                [beside] = classify_windows(Half(), [window_])
                state, more = compare(state, pair, scores, beside)
                told += more
    return state, told


@pytest.mark.slow
@given(st.lists(st.integers(1, SOUND.shape[1] - 1), max_size=12), st.integers(1, 20), st.integers(1, 5))
def test_however_a_sound_is_cut_the_same_windows_are_compared_and_the_same_is_told(
    cuts: list[int], batch_windows: int, every: int
) -> None:
    pair = replace(PAIR, every=every, interval_samples=7 * HOP_SAMPLES)
    assert compared(cuts, batch_windows, pair) == compared([], 1, pair)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), st.integers(1, 9))
def test_every_window_is_counted_once_on_one_side_and_no_difference_is_lost(
    scores: list[tuple[float, float]], interval: int
) -> None:
    state, told = told_of(scores, replace(PAIR, interval_samples=interval * HOP_SAMPLES))
    tallies = [*(each for each in told if isinstance(each, ComparisonTally)), state.tally]
    assert sum(each.windows for each in tallies) == len(scores)
    sides = [int(np.float32(ours) >= 0.5) - int(np.float32(theirs) >= 0.5) for ours, theirs in scores]
    assert sum(each.only_model[0] for each in tallies) == sides.count(1)
    assert sum(each.only_shadow[0] for each in tallies) == sides.count(-1)
    begins = sum(bool(side) and side != before for before, side in pairwise([0, *sides]))
    assert sum(isinstance(each, ScoreDifference) for each in told) + sum(each.untold for each in tallies) == begins


def test_the_share_of_windows_is_by_their_place() -> None:
    pair = replace(PAIR, every=10)
    assert [number for number in range(35) if pair.is_due(window(number, 0.0))] == [0, 10, 20, 30]
    assert SMALL_CONTRACT.features is SMALL_SPEC
