"""The capture thread's reading of a source: blocks in batches and notices, in order.

Conventions: as in `engine.py`. A handover costs as much as inference, so blocks are handed over once a window.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import SourceNotice
from soundwatch.daemon.core.types import Block
from soundwatch.daemon.engine.source_state import EngineSource


def batched_blocks(source: EngineSource, spec: FeatureSpec) -> Iterator[list[Block] | SourceNotice]:
    """Yield a source's blocks in batches, and its notices, until the sound ends; a failure is kept in its session."""
    kept: list[Block] = []
    try:
        for delivery in source.session.source.blocks():
            if isinstance(delivery, Block):
                kept.append(delivery)
                first = source.encoder is None or delivery.lost_samples
                if not first and not _may_fill_a_window(source, kept, spec):
                    continue
            if kept:
                yield kept
                kept = []
            if not isinstance(delivery, Block):  # at once: the next block may be far away
                yield delivery
    except SourceError as error:
        source.session.failure = error
    if kept:
        yield kept


def _may_fill_a_window(source: EngineSource, kept: list[Block], spec: FeatureSpec) -> bool:
    """Return True if the next window ends in the kept blocks, or the blocks are a hop long.

    The window's end may still be in the resampler; the window then comes with the next block.
    """
    rate_hz, first_sample = kept[0].rate_hz, kept[0].first_sample
    end_sample: int = kept[-1].first_sample + kept[-1].samples.shape[1]
    if (end_sample - first_sample) * spec.rate_hz >= spec.window_hop_samples * rate_hz:
        return True
    up_to_date = source.handovers == source.processed_handovers  # else the next window is not known yet
    window_end_sample = source.front_end_state.windowing.first_sample + spec.window_samples
    return up_to_date and end_sample * spec.rate_hz >= window_end_sample * rate_hz
