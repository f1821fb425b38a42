"""Sets of line numbers as ranges, and the gaps between them.

Conventions: a `SeqRanges` holds ranges `(first, last)`, both included, in order, with a number missing between any two.
Pure.
"""

from __future__ import annotations

from collections.abc import Iterator

SeqRange = tuple[int, int]
SeqRanges = tuple[SeqRange, ...]


def add_range(held: SeqRanges, first: int, last: int) -> SeqRanges:
    """Add the numbers from `first` to `last`."""
    if held and held[-1][0] <= first <= held[-1][1] + 1:  # the next line, nearly always
        return (*held[:-1], (held[-1][0], max(held[-1][1], last)))
    before = tuple(run for run in held if run[1] < first - 1)
    after = tuple(run for run in held if run[0] > last + 1)
    touching = [run for run in held if run[1] >= first - 1 and run[0] <= last + 1]
    run = (min([first, *(run[0] for run in touching)]), max([last, *(run[1] for run in touching)]))
    return (*before, run, *after)


def contains(held: SeqRanges, number: int) -> bool:
    """Return True if a number is in one of the ranges."""
    return any(first <= number <= last for first, last in reversed(held))


def gaps(held: SeqRanges, first: int, last: int) -> Iterator[SeqRange]:
    """Yield the missing ranges between two numbers, both included."""
    for run_first, run_last in held:
        if run_first > last:
            break
        if run_first > first:
            yield first, run_first - 1
        first = max(first, run_last + 1)
    if first <= last:
        yield first, last
