"""Joining of short blocks, so that other threads and processes wake up less often.

Conventions: blocks (C, S) of one source in order. The first block is passed on at once, since the stream begins with
it. A block after a loss begins a new joined block, so sample numbers and losses stay exact. A joined block has the
arrival time of its last part.
Does not: measure losses (`capture/microphone.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.types import Block, read_only


def coalesced(blocks: Iterator[Block], length_ms: int) -> Iterator[Block]:
    """Yield blocks joined to `length_ms` or a little more; what was kept is yielded before an error of the source.

    Raises:
        SourceError: As `blocks` raises it.
    """
    kept: list[Block] = []
    kept_samples, begun = 0, False
    try:
        for block in blocks:
            if kept and block.lost_samples:
                yield _join(kept)
                kept, kept_samples = [], 0
            kept.append(block)
            kept_samples += block.samples.shape[1]
            if not begun or kept_samples * 1000 >= length_ms * block.rate_hz:
                yield _join(kept)
                kept, kept_samples, begun = [], 0, True
    except SourceError:
        if kept:
            yield _join(kept)
        raise
    if kept:
        yield _join(kept)


def _join(blocks: list[Block]) -> Block:
    """Join blocks without a loss between them."""
    if len(blocks) == 1:
        return blocks[0]
    samples = read_only(np.concatenate([block.samples for block in blocks], axis=1))
    return replace(blocks[0], samples=samples, arrival_ns=blocks[-1].arrival_ns)
