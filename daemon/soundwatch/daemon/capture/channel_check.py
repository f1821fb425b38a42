"""Check of a recording's channels while another stage reads it.

Conventions: blocks are passed on unchanged; the result is complete once all are read.
Does not: know the model. A model that takes the recording's own channels does not average them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.capture.audio_quality import LevelStats
from soundwatch.daemon.core.source import Source, SourceInfo
from soundwatch.daemon.core.types import Block

OPPOSITE_ADVICE: Final = (
    "its channels cancel each other, so a mono model gets silence. Use one of the channels: "
    "`ffmpeg -i IN -af pan=mono|c0=c0 OUT.wav`, or `channels: left` for a live source."
)


class ChannelCheck:
    """A source of which the channels are checked.

    Args:
        source: The source.
    """

    def __init__(self, source: Source) -> None:
        self._source = source
        self._stats: LevelStats | None = None

    @property
    def info(self) -> SourceInfo:
        """As of the source."""
        return self._source.info

    @property
    def start_unix_ns(self) -> int:
        """As of the source."""
        return self._source.start_unix_ns

    @property
    def opposite_channels(self) -> bool:
        """True if the channels read so far cancel in their mean."""
        return self._stats is not None and self._stats.opposite_channels

    def blocks(self) -> Iterator[Block]:
        """Yield the source's blocks.

        Raises:
            SourceError: As for the source.
        """
        for block in self._source.blocks():
            if block.samples.shape[0] > 1:
                stats = LevelStats.of(block.samples)
                self._stats = stats if self._stats is None else self._stats + stats
            yield block

    def stop(self) -> None:
        """Make `blocks` end."""
        self._source.stop()
