"""Joining of short blocks, so that other threads and processes wake up less often.

Conventions: blocks (C, S) of one source in order. The first block is passed on at once, since the stream begins with
it. A block after a loss begins a new joined block, so sample numbers and losses stay exact. A joined block has the
arrival time of its last part.
Does not: measure losses (`capture/portaudio/microphone.py`).
"""

from __future__ import annotations

from collections.abc import Iterator

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.block import Block, join_blocks


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
                yield join_blocks(kept)
                kept, kept_samples = [], 0
            kept.append(block)
            kept_samples += block.samples.shape[1]
            if not begun or kept_samples * 1000 >= length_ms * block.rate_hz:
                yield join_blocks(kept)
                kept, kept_samples, begun = [], 0, True
    except SourceError:
        if kept:
            yield join_blocks(kept)
        raise
    if kept:
        yield join_blocks(kept)
