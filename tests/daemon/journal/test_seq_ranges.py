"""Runs of numbers, held against sets."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.journal.seq_ranges import SeqRanges, add_range, contains, gaps

NUMBERS = st.integers(1, 60)
RUNS = st.lists(st.tuples(NUMBERS, st.integers(0, 8)), max_size=20)


def numbers(held: SeqRanges) -> set[int]:
    return {number for first, last in held for number in range(first, last + 1)}


@pytest.mark.slow
@given(RUNS, NUMBERS, NUMBERS)
def test_ranges_equal_a_set_of_their_numbers(runs: list[tuple[int, int]], one: int, other: int) -> None:
    held: SeqRanges = ()
    expected: set[int] = set()
    for first, more in runs:
        held = add_range(held, first, first + more)
        expected |= set(range(first, first + more + 1))
    assert numbers(held) == expected
    assert all(run[1] + 1 < after[0] for run, after in itertools.pairwise(held)), "one run, or two apart"
    assert all(contains(held, number) == (number in expected) for number in range(70))
    first, last = sorted((one, other))
    assert numbers(tuple(gaps(held, first, last))) == set(range(first, last + 1)) - expected


def test_numbers_in_order_are_one_run() -> None:
    held: SeqRanges = ()
    for number in range(1, 1000):
        held = add_range(held, number, number)
    assert held == ((1, 999),)
