"""A source's own thread: its blocks, kept until a window can be full, and its news, in order.

Conventions: as in `engine/engine.py`. Handing a block over costs as much as the network does, so it is done once a
window.
"""

from __future__ import annotations

from collections.abc import Iterator

from soundwatch.daemon.core.contract import FeatureSpec
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.source import SourceNotice
from soundwatch.daemon.core.types import Block
from soundwatch.daemon.engine.source_state import EngineSource


def batched_blocks(voice: EngineSource, spec: FeatureSpec) -> Iterator[list[Block] | SourceNotice]:
    """What a source gives until it ends; where it breaks its listening keeps the failure."""
    kept: list[Block] = []
    try:
        for each in voice.listening.source.blocks():
            if isinstance(each, Block):
                kept.append(each)
                if voice.stream is not None and not each.lost_samples and not _may_fill_a_window(voice, kept, spec):
                    continue
            if kept:
                yield kept
                kept = []
            if not isinstance(each, Block):  # told at once: it may be long before there is a block
                yield each
    except SourceError as error:
        voice.listening.failure = error
    if kept:
        yield kept


def _may_fill_a_window(voice: EngineSource, kept: list[Block], spec: FeatureSpec) -> bool:
    """Whether the next window ends in what is kept, or that is a hop long.

    The window's end may still be in the resampler: then it comes with the next block.
    """
    rate_hz, first_sample = kept[0].rate_hz, kept[0].first_sample
    end_sample: int = kept[-1].first_sample + kept[-1].samples.shape[1]
    if (end_sample - first_sample) * spec.rate_hz >= spec.window_hop_samples * rate_hz:
        return True
    known = voice.handovers == voice.processed_handovers  # or else which window is next is yet to be seen
    window_end_sample = voice.front_end_state.windowing.first_sample + spec.window_samples
    return known and end_sample * spec.rate_hz >= window_end_sample * rate_hz
