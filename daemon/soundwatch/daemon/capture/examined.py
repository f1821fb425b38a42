"""A live source whose sound is examined as it comes, all the time.

Conventions: what is found comes among the blocks; the blocks are passed on as they are. While the source is away there
is nothing to examine, and after that a new period begins; what was found before still holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

from soundwatch.daemon.capture.quality import Examination, examine
from soundwatch.daemon.plight import LiveSource, Plight, Quality
from soundwatch.daemon.types import Block, SourceInfo


class Examined:
    """A source and what is wrong with its sound.

    Args:
        source: It.
        monotonic_ns: A monotonic clock.
    """

    def __init__(self, source: LiveSource, monotonic_ns: Callable[[], int] = time.monotonic_ns) -> None:
        self._source = source
        self._monotonic_ns = monotonic_ns

    @property
    def info(self) -> SourceInfo:
        """As the source has it."""
        return self._source.info

    @property
    def start_unix_ns(self) -> int:
        """As the source has it."""
        return self._source.start_unix_ns

    def blocks(self) -> Iterator[Block | Plight | Quality]:
        """As the source gives them, and after a block what has become of its sound.

        Raises:
            SourceError: As for the source.
        """
        state = Examination()
        for each in self._source.blocks():
            yield each
            if isinstance(each, Plight):
                state = replace(state, seconds=(), counted_samples=0, first_ns=None, last_ns=None)
            elif isinstance(each, Block):
                state, told = examine(state, each, self._monotonic_ns())
                yield from told

    def stop(self) -> None:
        """Make `blocks` end."""
        self._source.stop()
