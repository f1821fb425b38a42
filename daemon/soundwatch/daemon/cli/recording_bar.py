"""Progress bar of a microphone that is recorded for some time, on a terminal.

Conventions: the bar counts whole seconds of sound, lost samples included.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import Source, SourceInfo


class SourceWithBar:
    """A source that draws a bar on standard error while its blocks are read.

    Args:
        source: The source.
        length_s: Seconds of a full bar.
    """

    def __init__(self, source: Source, length_s: float) -> None:
        self._source, self._length_s = source, max(1, round(length_s))

    @property
    def info(self) -> SourceInfo:
        """Description of the source."""
        return self._source.info

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0 in nanoseconds."""
        return self._source.start_unix_ns

    def blocks(self) -> Iterator[Block]:
        """Yield the blocks of the source."""
        with click.progressbar(length=self._length_s, label="recording", file=sys.stderr) as bar:
            for block in self._source.blocks():
                yield block
                done_s = (block.first_sample + block.samples.shape[1]) // block.rate_hz
                bar.update(max(0, min(done_s, self._length_s) - bar.pos))

    def stop(self) -> None:
        """Make `blocks` end soon."""
        self._source.stop()
