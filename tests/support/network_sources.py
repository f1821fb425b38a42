"""Network sources of a short tone, and the collection of their blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from soundwatch.daemon.capture import open_source
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.core.records.block import Block, Samples
from soundwatch.daemon.core.records.source import LiveSource, SourceStateChange
from support.fakes import tone

FORMAT = "s16le,8000,1"


SOUND = (tone(500, 0.5) * 32767).astype("<i2")


def connect(device: str, pcm: str = FORMAT) -> NetworkSource:
    source = open_source("gate", device, pcm=pcm)
    assert isinstance(source, NetworkSource)
    return source


def collect_until_lost(
    source: LiveSource, times: int, at_first: Callable[[], None] = lambda: None
) -> tuple[list[Block], list[SourceStateChange]]:
    """Collect items until the given number of losses; call `at_first` at the first loss."""
    blocks: list[Block] = []
    changes: list[SourceStateChange] = []
    for item in source.blocks():
        if isinstance(item, Block):
            blocks.append(item)
        elif isinstance(item, SourceStateChange):
            changes.append(item)
            if [change.state for change in changes] == ["lost"]:
                at_first()
            if [change.state for change in changes].count("lost") == times:
                source.stop()
    return blocks, changes


def joined(blocks: list[Block]) -> Samples:
    return np.concatenate([block.samples for block in blocks], axis=1)
