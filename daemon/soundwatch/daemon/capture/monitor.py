"""A live source whose sound and clock are examined all the time, and of which only the chosen channels are heard.

Conventions: what is found comes among the blocks; beyond the choice of channels these are passed on as they are. While
the source is away there is nothing to examine, and after that a new period begins; what was found before still holds.
A new anchor comes before the block that it was found by. A source that waits has no clock of its own to examine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from soundwatch.daemon.capture.audio_quality import QualityState, reset_period, update_quality
from soundwatch.daemon.capture.clock_sync import ClockSyncState, reset_after_loss, sync_clock
from soundwatch.daemon.core.channels import ChannelSelection, select_channels
from soundwatch.daemon.core.clock import ClockReading, read_clocks
from soundwatch.daemon.core.source import ClockCorrection, LiveSource, SourceInfo, SourceNotice, SourceStateChange
from soundwatch.daemon.core.types import Block


class MonitoredSource:
    """A source, and what is wrong with its sound and its times.

    Args:
        source: It.
        choice: Which of its channels are heard; None for all.
        now: Tells both clocks.
    """

    def __init__(
        self, source: LiveSource, choice: ChannelSelection | None = None, now: Callable[[], ClockReading] = read_clocks
    ) -> None:
        self._source = source
        self._choice = choice
        self._now = now
        self._anchoring: ClockSyncState | None = None

    @property
    def info(self) -> SourceInfo:
        """As the source has it."""
        return self._source.info

    @property
    def start_unix_ns(self) -> int:
        """As the source has it."""
        return self._source.start_unix_ns

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """As the source gives them, and what has become of its clock before a block, of its sound after it.

        Raises:
            SourceError: As for the source.
        """
        state = QualityState()
        for each in self._source.blocks():
            if isinstance(each, Block):
                now = self._now()
                arrival_ns = now.steady_ns if each.arrival_ns is None else each.arrival_ns
                waits = self.info.supports_backpressure
                moved = None if waits else self._clock(each, arrival_ns, now)
                if moved is not None:
                    yield moved
                block = replace(each, samples=select_channels(each.samples, self._choice))
                yield block
                state, told = update_quality(state, block, None if waits else arrival_ns)
                yield from told
                continue
            yield each
            if isinstance(each, SourceStateChange):
                state = reset_period(state)
                self._anchoring = self._anchoring and reset_after_loss(self._anchoring)

    def stop(self) -> None:
        """Make `blocks` end."""
        self._source.stop()

    def _clock(self, block: Block, arrival_ns: int, now: ClockReading) -> ClockCorrection | None:
        """What has to become of the stream's times."""
        if self._anchoring is None:
            self._anchoring = ClockSyncState(self.start_unix_ns, now.ahead_ns)
        end_sample = block.first_sample + block.samples.shape[1]
        self._anchoring, moved = sync_clock(self._anchoring, end_sample, block.rate_hz, arrival_ns, now)
        return moved
