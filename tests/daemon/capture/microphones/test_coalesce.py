"""Short blocks joined to longer ones."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from soundwatch.daemon.capture.microphones.coalesce import coalesced
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block

RATE_HZ = 1000


def blocks(sizes: list[int], losses: dict[int, int] | None = None) -> Iterator[Block]:
    """Blocks of a ramp with these sizes; before some of them samples were lost."""
    first = 0
    for number, size in enumerate(sizes):
        lost = (losses or {}).get(number, 0)
        first += lost
        ramp = np.arange(first, first + size, dtype=np.float32)
        yield Block(np.stack([ramp, -ramp]), RATE_HZ, first, lost, arrival_ns=(first + size) * 1_000_000)
        first += size


def test_the_first_block_is_passed_on_at_once_and_the_others_are_joined() -> None:
    joined = list(coalesced(blocks([100] * 8), 300))
    assert [block.samples.shape[1] for block in joined] == [100, 300, 300, 100]
    assert [block.arrival_ns for block in joined] == [100_000_000, 400_000_000, 700_000_000, 800_000_000]


def test_a_loss_begins_a_new_block_and_keeps_its_exact_place() -> None:
    joined = list(coalesced(blocks([100, 100, 100, 100, 100], {3: 37}), 300))
    places = [(block.first_sample, block.samples.shape[1], block.lost_samples) for block in joined]
    assert places == [(0, 100, 0), (100, 200, 0), (337, 200, 37)]


def test_what_was_kept_comes_before_the_error_of_the_source() -> None:
    def failing() -> Iterator[Block]:
        yield from blocks([100, 100, 100])
        raise SourceError("Unplugged.")

    source = coalesced(failing(), 300)
    assert [next(source).samples.shape[1] for _ in range(2)] == [100, 200]
    with pytest.raises(SourceError, match=r"Unplugged\."):
        next(source)


@given(
    st.lists(st.integers(1, 400), max_size=30),
    st.dictionaries(st.integers(1, 29), st.integers(1, 500), max_size=5),
    st.integers(1, 600),
)
def test_no_sample_and_no_loss_is_changed(sizes: list[int], losses: dict[int, int], length_ms: int) -> None:
    plain, joined = list(blocks(sizes, losses)), list(coalesced(blocks(sizes, losses), length_ms))
    assert sum(block.lost_samples for block in joined) == sum(block.lost_samples for block in plain)
    end = 0
    for block in joined:
        assert block.first_sample == end + block.lost_samples
        end = block.first_sample + block.samples.shape[1]
        np.testing.assert_array_equal(block.samples[0], np.arange(block.first_sample, end, dtype=np.float32))
