"""The part of a source that is passed on from another source, and the end of a source that is not used.

Does not: yield blocks; each class with this base has its own `blocks`.
"""

from __future__ import annotations

import contextlib
from collections import deque

from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.source import GatheringSource, LiveSource, SourceInfo


class SourceWrapper:
    """Description, start, stop and timing of another source.

    Args:
        source: The source.
    """

    def __init__(self, source: LiveSource) -> None:
        self._source = source
        self._gathering = source if isinstance(source, GatheringSource) else None

    @property
    def info(self) -> SourceInfo:
        """As of the source."""
        return self._source.info

    @property
    def start_unix_ns(self) -> int:
        """As of the source."""
        return self._source.start_unix_ns

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end at this sample, if the source can gather."""
        if self._gathering is not None:
            self._gathering.gather_until(end_sample)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._source.stop()


def close_unused(source: LiveSource) -> None:
    """Close an open source of which no block was read, with its process or connection."""
    source.stop()
    with contextlib.suppress(SourceError):  # it may have failed by itself
        deque(source.blocks(), maxlen=0)  # closes what it has opened
