"""Monitoring of a live source's sound and clock, and selection of its channels.

Conventions: notices come among the blocks, which change only by the selection of channels. After a loss a new period of
measurement begins; reported faults stay. A clock correction comes before the block that showed the error. A source with
backpressure has no clock, since its writer may be late or ahead: its times only follow a wall clock that is set, and
leave out a suspend. The sound is measured after the selection, but before `mix` averages the channels,
since channels that cancel are silent in their mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from soundwatch.daemon.capture.monitoring.audio_quality import QualityState, reset_period, update_quality
from soundwatch.daemon.capture.monitoring.clock_sync import ClockSyncState, follow_steps, reset_after_loss, sync_clock
from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.channels import ChannelSelection, select_channels
from soundwatch.daemon.core.records.source import ClockCorrection, LiveSource, SourceNotice, SourceStateChange
from soundwatch.daemon.core.time.clock import ClockReading, read_awake_clocks, read_clocks


class MonitoredSource(SourceWrapper):
    """A source with notices about its sound and its times.

    Args:
        source: The source.
        choice: Selected channels; None for all.
        now: Reads both clocks; None for those of this machine.
    """

    def __init__(
        self, source: LiveSource, choice: ChannelSelection | None = None, now: Callable[[], ClockReading] | None = None
    ) -> None:
        super().__init__(source)
        self._choice = choice
        self._now = now or (read_awake_clocks if source.info.supports_backpressure else read_clocks)
        self._clock_state: ClockSyncState | None = None

    @property
    def source(self) -> LiveSource:
        """The source that is monitored."""
        return self._source

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield the source's blocks and notices, a clock correction before its block, and quality after its block.

        Raises:
            SourceError: As for the source.
        """
        state, rate_hz = QualityState(), 0
        for item in self._source.blocks():
            if isinstance(item, Block):
                now = self._now()
                arrival_ns = now.steady_ns if item.arrival_ns is None else item.arrival_ns
                has_clock = not self.info.supports_backpressure
                correction = self._sync_clock(item, arrival_ns if has_clock else None, now)
                if correction is not None:
                    yield correction
                chosen = self._choice is not None
                block = replace(item, samples=select_channels(item.samples, self._choice)) if chosen else item
                measured = item if self._choice == "mix" else block
                if item.rate_hz != rate_hz:  # a source that is back may have another rate
                    state, rate_hz = replace(state, measured_hz=None), item.rate_hz
                # before the handover, or this thread would compete with the engine for Python's lock
                state, periods = update_quality(state, measured, arrival_ns if has_clock else None)
                yield block
                yield from periods
                continue
            yield item
            if isinstance(item, SourceStateChange):
                state = reset_period(state)
                if self._clock_state is not None:
                    self._clock_state, correction = reset_after_loss(self._clock_state)
                    if correction is not None:
                        yield correction

    def _sync_clock(self, block: Block, arrival_ns: int | None, now: ClockReading) -> ClockCorrection | None:
        """Compare the stream's times with the clock, or only the clock with itself without a time of arrival."""
        if self._clock_state is None:
            self._clock_state = ClockSyncState(self.start_unix_ns, now.ahead_ns)
        if arrival_ns is None:
            self._clock_state, correction = follow_steps(self._clock_state, now)
            return correction
        end_sample = block.first_sample + block.samples.shape[1]
        self._clock_state, correction = sync_clock(self._clock_state, end_sample, block.rate_hz, arrival_ns, now)
        return correction
