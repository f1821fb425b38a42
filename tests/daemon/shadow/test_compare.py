"""Comparison of two models' scores, window by window."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.window import Features
from soundwatch.daemon.inference.classifier import classify_windows
from soundwatch.daemon.pipeline.pipeline import batched_features, features_only
from soundwatch.daemon.shadow.compare import (
    MAX_DIFFERENCES_PER_HOUR,
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


def results_of(
    scores: Sequence[tuple[float, float]], pair: ModelPair = PAIR, hops: int = 1
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """Compare windows in which `low` has these scores by the active and the shadow model."""
    state, results = initial_state(pair), list[ScoreDifference | ComparisonTally]()
    for number, (score, shadow_score) in enumerate(scores):
        state, more = compare(state, pair, window(number * hops, score), window(number * hops, shadow_score))
        results += more
    return state, results


def test_a_difference_is_reported_once_when_it_begins() -> None:
    state, results = results_of([(0.1, 0.1), (0.9, 0.2), (0.8, 0.1), (0.9, 0.9), (0.9, 0.3), (0.2, 0.7)])
    assert [(item.at_sample, round(item.score, 4)) for item in results if isinstance(item, ScoreDifference)] == [
        (HOP_SAMPLES + SMALL_SPEC.window_samples, 0.9),
        (4 * HOP_SAMPLES + SMALL_SPEC.window_samples, 0.9),
        (5 * HOP_SAMPLES + SMALL_SPEC.window_samples, 0.2),
    ]
    tally = state.tally
    assert (tally.both, tally.only_model, tally.only_shadow) == ((1, 0), (3, 0), (1, 0))
    assert (tally.windows, tally.unreported, tally.first_sample) == (6, 0, 0)
    assert tally.mean_difference == pytest.approx((0 + 0.7 + 0.7 + 0 + 0.6 + 0.5) / 2 / 6, abs=1e-6)


def test_each_model_has_its_own_thresholds_and_a_class_without_one_is_never_detected() -> None:
    _, results = compare(initial_state(PAIR), PAIR, window(0, 0.5, 0.55), window(0, 0.5, 0.55))
    [difference] = results
    assert isinstance(difference, ScoreDifference)
    assert (difference.class_id, difference.at_sample) == (1, SMALL_SPEC.window_samples)
    assert (difference.score, difference.shadow_score) == pytest.approx((0.55, 0.55))
    without_low = replace(PAIR, thresholds=(None, 0.5))
    state, results = compare(initial_state(without_low), without_low, window(0, 1.0), window(0, 1.0))
    assert [type(item) for item in results] == [ScoreDifference]
    assert state.tally.only_shadow == (1, 0)


def test_differences_above_the_limit_per_hour_are_only_counted() -> None:
    flicker = [(0.9, 0.1), (0.1, 0.1)] * (MAX_DIFFERENCES_PER_HOUR + 5)
    state, results = results_of(flicker)
    assert len(results) == MAX_DIFFERENCES_PER_HOUR
    assert state.tally.unreported == 5
    hour_hops = 3600 * SMALL_SPEC.rate_hz // HOP_SAMPLES
    later = hour_hops + len(flicker)
    state, results = compare(state, PAIR, window(later, 0.9), window(later, 0.1))
    assert len(results) == 1


def test_a_tally_is_reported_at_whole_intervals_of_the_stream_and_then_reset() -> None:
    pair = replace(PAIR, interval_samples=10 * HOP_SAMPLES)
    state, results = results_of([(0.9, 0.1)] * 25, pair)
    tallies = [item for item in results if isinstance(item, ComparisonTally)]
    assert [(item.end_sample // HOP_SAMPLES, item.windows) for item in tallies] == [(10, 7), (20, 10)]
    assert (state.tally.windows, state.tally.first_sample) == (8, 17 * HOP_SAMPLES)
    assert sum(isinstance(item, ScoreDifference) for item in results) == 1, "one difference spans all intervals"


def test_a_comparison_that_begins_late_in_a_stream_waits_for_the_next_whole_interval() -> None:
    pair = replace(PAIR, interval_samples=100 * HOP_SAMPLES)
    state, results = compare(initial_state(pair), pair, window(1234, 0.0), window(1234, 0.0))
    assert results == []
    assert state.due_sample == 1300 * HOP_SAMPLES


def test_windows_dropped_at_the_end_of_a_stream_are_counted() -> None:
    state, _ = compare(initial_state(PAIR), PAIR, window(3, 0.0), window(3, 0.0), dropped_windows=3)
    tally = finish(state, 2, 99_999)
    assert (tally.windows, tally.dropped_windows, tally.end_sample) == (1, 5, 99_999)
    assert finish(initial_state(PAIR), 0, 7).mean_difference is None


def test_windows_with_lost_sound_are_not_compared() -> None:
    assert PAIR.is_due(window(4, 0.0))
    assert not PAIR.is_due(window(4, 0.0, complete=False))


class Half(BandClassifier):
    """A model with half the scores."""

    def classify(self, mel_db: NDArray[np.float32]) -> NDArray[np.float32]:
        return super().classify(mel_db) / np.float32(2)


SOUND = np.concatenate([silence(0.5), tone(300, 1.1), silence(0.4), tone(3000, 0.9), silence(0.6)], axis=1)


def compared(
    cuts: Sequence[int], batch_windows: int, pair: ModelPair
) -> tuple[ComparisonState, list[ScoreDifference | ComparisonTally]]:
    """Compare the models on SOUND, cut into blocks at these samples."""
    edges = sorted({0, SOUND.shape[1], *cuts})
    blocks = [Block(SOUND[:, first:end], SMALL_SPEC.rate_hz, first) for first, end in pairwise(edges)]
    state, results = initial_state(pair), list[ScoreDifference | ComparisonTally]()
    for _, items in batched_features([*blocks, None], SMALL_SPEC, batch_windows):
        windows: list[Features] = features_only(items)
        for window_, scores in zip(windows, classify_windows(BandClassifier(), windows), strict=True):
            if pair.is_due(scores):
                [shadow_scores] = classify_windows(Half(), [window_])
                state, more = compare(state, pair, scores, shadow_scores)
                results += more
    return state, results


@pytest.mark.slow
@given(st.lists(st.integers(1, SOUND.shape[1] - 1), max_size=12), st.integers(1, 20), st.integers(1, 5))
def test_the_comparison_does_not_depend_on_the_division_into_blocks(
    cuts: list[int], batch_windows: int, stride_windows: int
) -> None:
    pair = replace(PAIR, stride_windows=stride_windows, interval_samples=7 * HOP_SAMPLES)
    assert compared(cuts, batch_windows, pair) == compared([], 1, pair)


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=60), st.integers(1, 9))
def test_every_window_is_counted_once_and_no_difference_is_lost(
    scores: list[tuple[float, float]], interval: int
) -> None:
    state, results = results_of(scores, replace(PAIR, interval_samples=interval * HOP_SAMPLES))
    tallies = [*(item for item in results if isinstance(item, ComparisonTally)), state.tally]
    assert sum(tally.windows for tally in tallies) == len(scores)
    signs = [int(np.float32(a) >= 0.5) - int(np.float32(b) >= 0.5) for a, b in scores]
    assert sum(tally.only_model[0] for tally in tallies) == signs.count(1)
    assert sum(tally.only_shadow[0] for tally in tallies) == signs.count(-1)
    beginning = sum(bool(sign) and sign != previous for previous, sign in pairwise([0, *signs]))
    reported = sum(isinstance(item, ScoreDifference) for item in results)
    assert reported + sum(tally.unreported for tally in tallies) == beginning


def test_windows_are_selected_by_their_position() -> None:
    pair = replace(PAIR, stride_windows=10)
    assert [number for number in range(35) if pair.is_due(window(number, 0.0))] == [0, 10, 20, 30]
    assert SMALL_CONTRACT.features is SMALL_SPEC
