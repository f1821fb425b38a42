"""Progress bar of a microphone that is recorded for some time, on a terminal.

Conventions: the bar counts whole seconds of sound, lost samples included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import Source


class SourceWithBar(SourceWrapper):
    """A source that draws a bar on standard error while its blocks are read.

    Args:
        source: The source.
        length_s: Seconds of a full bar.
    """

    def __init__(self, source: Source, length_s: float) -> None:
        super().__init__(source)
        self._blocks, self._length_s = source.blocks, max(1, round(length_s))

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the source."""
        with click.progressbar(length=self._length_s, label="recording", file=sys.stderr) as bar:
            for block in self._blocks():
                yield block
                done_s = (block.first_sample + block.samples.shape[1]) // block.rate_hz
                bar.update(max(0, min(done_s, self._length_s) - bar.pos))
