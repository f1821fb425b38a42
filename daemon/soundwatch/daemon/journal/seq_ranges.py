"""Sets of line numbers as ranges, and the gaps between them.

Conventions: a `SeqRanges` holds ranges `(first, last)`, both included, in order, with a number missing between any two.
Ranges are found by bisection. Pure.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from operator import itemgetter

SeqRange = tuple[int, int]
SeqRanges = tuple[SeqRange, ...]
_first, _last = itemgetter(0), itemgetter(1)


def add_range(held: SeqRanges, first: int, last: int) -> SeqRanges:
    """Add the numbers from `first` to `last`."""
    begin = bisect_left(held, first - 1, key=_last)  # the first range that touches the new one, or follows it
    end = bisect_right(held, last + 1, key=_first)  # after the last range that touches the new one
    if begin < end:
        first, last = min(first, held[begin][0]), max(last, held[end - 1][1])
    return (*held[:begin], (first, last), *held[end:])


def contains(held: SeqRanges, number: int) -> bool:
    """Return True if a number is in one of the ranges."""
    place = bisect_left(held, number, key=_last)
    return place < len(held) and held[place][0] <= number


def gaps(held: SeqRanges, first: int, last: int) -> Iterator[SeqRange]:
    """Yield the missing ranges between two numbers, both included."""
    for place in range(bisect_left(held, first, key=_last), len(held)):
        run_first, run_last = held[place]
        if run_first > last:
            break
        if run_first > first:
            yield first, run_first - 1
        first = max(first, run_last + 1)
    if first <= last:
        yield first, last
