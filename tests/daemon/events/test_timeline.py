"""Times never run backwards, stay after publication, and become correct again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.events.encoder import KEPT_ANCHORS, Anchor, add_anchor, sample_unix_ns

RATE_HZ = 8000
SECOND_NS = 1_000_000_000
START_NS = 1_800_000_000 * SECOND_NS
HOUR = 3600 * RATE_HZ

moves = st.lists(st.tuples(st.integers(0, 100_000), st.integers(-(10**13), 10**13)), max_size=20)


def anchors_of(given_moves: list[tuple[int, int]]) -> list[tuple[Anchor, ...]]:
    """The anchors after each move, which is so many samples after the one before, and puts the start so far off."""
    anchors: tuple[Anchor, ...] = ()
    after, from_sample = [anchors], 0
    for samples, shift_ns in given_moves:
        from_sample += samples
        anchors = add_anchor(anchors, from_sample, RATE_HZ, START_NS, START_NS + shift_ns)
        after.append(anchors)
    return after


@pytest.mark.slow
@given(moves, st.lists(st.integers(0, 3_000_000), min_size=2))
def test_a_later_sample_never_has_an_earlier_time(given_moves: list[tuple[int, int]], samples: list[int]) -> None:
    anchors = anchors_of(given_moves)[-1]
    times = [sample_unix_ns(sample, RATE_HZ, START_NS, anchors) for sample in sorted(samples)]
    assert times == sorted(times)


@pytest.mark.slow
@given(moves, st.integers(0, 3_000_000))
def test_samples_before_an_anchor_keep_their_time(given_moves: list[tuple[int, int]], sample: int) -> None:
    before = None
    for anchors in anchors_of(given_moves):
        if anchors and sample < anchors[-1].from_sample:
            assert sample_unix_ns(sample, RATE_HZ, START_NS, anchors) == before
        before = sample_unix_ns(sample, RATE_HZ, START_NS, anchors)


def test_a_clock_set_forward_is_followed_immediately() -> None:
    anchors = add_anchor((), HOUR, RATE_HZ, START_NS, START_NS + SECOND_NS)
    assert sample_unix_ns(HOUR - 1, RATE_HZ, START_NS, anchors) < START_NS + 3600 * SECOND_NS
    assert sample_unix_ns(HOUR, RATE_HZ, START_NS, anchors) == START_NS + 3601 * SECOND_NS


def test_a_clock_set_back_by_an_hour_is_followed_within_two() -> None:
    anchors = add_anchor((), HOUR, RATE_HZ, START_NS, START_NS - 3600 * SECOND_NS)
    halfway, there, after = (sample_unix_ns(hours * HOUR, RATE_HZ, START_NS, anchors) for hours in (2, 3, 4))
    assert halfway == START_NS + 5400 * SECOND_NS, "half as far as it should be apart"
    assert there == START_NS + 7200 * SECOND_NS
    assert after == START_NS + 3 * 3600 * SECOND_NS


def test_no_more_anchors_are_kept_than_are_needed() -> None:
    anchors = anchors_of([(1, number) for number in range(2 * KEPT_ANCHORS)])[-1]
    assert len(anchors) == KEPT_ANCHORS
    assert anchors[-1].from_sample == 2 * KEPT_ANCHORS
