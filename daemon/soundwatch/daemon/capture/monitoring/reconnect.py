"""Live sources that are reopened after each loss, for as long as the program runs.

Conventions: the stream's time continues while the source is away: the sample numbers of the next block follow the
monotonic clock, and all samples in between count as lost, at the device's new rate.
Rule: the first attempt comes after `FIRST_PAUSE_S`, each further one after twice the pause, `longest_pause_s` at most.
The pauses start over after a source that delivered sound for `longest_pause_s`. One that ends at once, again and again,
keeps the longest pause, and so do its reports.
A source that waits for its device by itself, as a capture process does, is not reopened meanwhile.
Does not: open devices itself, or correct the stream's times (`capture/monitoring/clock_sync.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from soundwatch.daemon.capture.monitoring.stream_position import StreamPosition
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError, unexpected_failure
from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.records.block import Block, read_only
from soundwatch.daemon.core.records.source import (
    LiveSource,
    SourceInfo,
    SourceNotice,
    SourceStateChange,
    SourceTransitionReason,
)
from soundwatch.daemon.core.time.clock import SECOND_NS, ClockReading, read_clocks

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
OLDEST_NS: Final = 5_000_000_000  # an older first block was captured before the wall clock was set


class ReconnectingSource:
    """A source that is reopened after each loss.

    Args:
        first: The source, as opened for the first time.
        reopen: Opens the source, or raises `SourceError`.
        now: Reads both clocks.
        longest_pause_s: Longest time between two attempts.
    """

    def __init__(
        self,
        first: LiveSource,
        reopen: Callable[[], LiveSource],
        now: Callable[[], ClockReading] = read_clocks,
        longest_pause_s: float = LONGEST_PAUSE_S,
    ) -> None:
        self.start_unix_ns = 0
        self._source: LiveSource = first
        self._reopen = reopen
        self._longest_pause_s = longest_pause_s
        self._now = now
        self._opened_ns = now().steady_ns
        self._notice: SourceStateChange | None = None  # the last notice; None while sound arrives
        self._position: StreamPosition | None = None
        self._stopped = False
        self._latch = threading.Lock()  # held until `stop`: its release is safe in a signal handler
        self._latch.acquire()

    @property
    def info(self) -> SourceInfo:
        """Properties of the device as it was opened last."""
        return self._source.info

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield blocks and state changes until `stop`.

        Raises:
            SourceUnavailableError: A retry cannot help.
        """
        backoff = Backoff(FIRST_PAUSE_S, self._longest_pause_s)
        source: LiveSource | None = None if isinstance(self._source, _Unopened) else self._source
        while source is not None or not self._stopped:  # a source that was stopped before its first block is closed
            delivering_since_ns: int | None = None
            try:
                if source is None:
                    self._source = source = self._reopen()
                    self._stop_new_source(source)
                for item in source.blocks():
                    if delivering_since_ns is None and isinstance(item, Block):
                        delivering_since_ns = self._now().steady_ns
                    yield from self._forward(item, source)
                error = SourceError(f"{source.info.description} ended.")
            except SourceUnavailableError:
                raise
            except SourceError as caught:
                error = caught
            except Exception as caught:  # noqa: BLE001  # a source may fail in any way, as without file descriptors
                error = unexpected_failure(self.info.description, caught)
            source = None
            if self._is_steady(delivering_since_ns):
                backoff.reset()
            if not self._stopped:
                yield from self._report_loss(error)
                self._latch.acquire(timeout=backoff.next_s())
        yield from self._last_loss()

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._source.stop()
        with contextlib.suppress(RuntimeError):  # a second call finds the latch released
            self._latch.release()

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end at this sample of the stream, if the source can gather."""
        if self._position is not None and self._position.gathering is not None:
            self._position.gathering.gather_until(end_sample - self._position.offset_samples)

    def _is_steady(self, delivering_since_ns: int | None) -> bool:
        """Return True if a source that is lost has delivered sound for long enough to be reopened soon."""
        if delivering_since_ns is None:
            return False
        return self._now().steady_ns - delivering_since_ns >= self._longest_pause_s * SECOND_NS

    def _stop_new_source(self, source: LiveSource) -> None:
        """Stop a source that was being opened during `stop`."""
        if self._stopped:
            source.stop()

    def _report_loss(self, error: SourceError) -> Iterator[SourceStateChange]:
        """Report once that the source is away."""
        if self._notice is not None:
            return
        if self._position is None:
            self._notice = SourceStateChange("waiting", "absent", str(error))
        else:
            away_ns = max(0, self._now().steady_ns - self._position.end_ns)
            reason: SourceTransitionReason = "stalled" if isinstance(error, StallError) else "ended"
            self._notice = SourceStateChange("lost", reason, str(error), away_ns, away_ns)
        yield self._notice

    def _forward(self, item: Block | SourceNotice, source: LiveSource) -> Iterator[Block | SourceNotice]:
        """Yield a block with its place in the stream, and after the first one of a new source that it is back."""
        if not isinstance(item, Block):
            if self._notice is None and isinstance(item, SourceStateChange):
                self._notice = item
                yield item
            return
        now = self._now()
        arrival_ns = now.steady_ns if item.arrival_ns is None else item.arrival_ns
        back = None
        if self._position is None or self._position.source is not source:
            back = self._resume(item, source, arrival_ns, now)
        assert self._position is not None
        block = self._position.placed(item, lost_samples=0 if back is None else self._position.offset_lost_samples)
        self._position = self._position.after(item, arrival_ns)
        yield block
        if back is not None and self._notice is not None:
            self._notice = None
            yield back

    def _resume(self, block: Block, source: LiveSource, arrival_ns: int, now: ClockReading) -> SourceStateChange:
        """Find the place of a newly opened source's sound in the stream."""
        least_age_ns = (block.first_sample + block.samples.shape[1]) * SECOND_NS // block.rate_hz
        first_ns = now.steady_ns - (now.unix_ns - source.start_unix_ns)
        if not least_age_ns <= now.steady_ns - first_ns <= least_age_ns + OLDEST_NS:
            first_ns = arrival_ns - least_age_ns
        before, self._position = self._position, StreamPosition.begun(source, block, first_ns, arrival_ns)
        detail = f"{source.info.description} delivers sound."
        if before is None:
            self.start_unix_ns = now.unix_ns - (now.steady_ns - first_ns)
            return SourceStateChange("back", "absent", detail, first_ns - self._opened_ns)
        lost_samples = max(1, (first_ns - before.end_ns) * block.rate_hz // SECOND_NS)
        end_sample = before.end_sample * block.rate_hz // before.rate_hz
        self._position = replace(
            self._position,
            offset_samples=end_sample + lost_samples,
            offset_lost_samples=lost_samples,
            channels=before.channels,
        )
        lost_ns = lost_samples * SECOND_NS // block.rate_hz
        reason = "ended" if self._notice is None else self._notice.reason
        return SourceStateChange("back", reason, detail, lost_ns, lost_ns)

    def _last_loss(self) -> Iterator[Block]:
        """Account for the loss at the end of a stream whose source is away."""
        if self._position is None or self._notice is None:
            return
        position = self._position
        lost_samples = (self._now().steady_ns - position.end_ns) * position.rate_hz // SECOND_NS
        if lost_samples > 0:
            nothing = read_only(np.zeros((position.channels, 0), np.float32))
            yield Block(nothing, position.rate_hz, position.end_sample + lost_samples, lost_samples)


@dataclass(frozen=True, slots=True)
class _Unopened:
    """A source that is opened when its blocks are read."""

    info: SourceInfo
    start_unix_ns: int = 0

    def blocks(self) -> Iterator[Block]:
        return iter(())

    def stop(self) -> None:
        pass


@dataclass(frozen=True, slots=True)
class _Refused:
    """A source that could not be opened at the start."""

    info: SourceInfo
    error: SourceError
    start_unix_ns: int = 0

    def blocks(self) -> Iterator[Block]:
        raise self.error

    def stop(self) -> None:
        pass


def open_reconnecting(
    connect: Callable[[], LiveSource],
    info: SourceInfo,
    *,
    wait: bool,
    later: bool = False,
    longest_pause_s: float = LONGEST_PAUSE_S,
) -> ReconnectingSource:
    """Open a source with `connect`, and again after each loss.

    Args:
        connect: Opens the source, or raises `SourceError`.
        info: What is known of the source before it is opened.
        wait: Wait for an absent source instead of failing.
        later: Open a source that is waited for when its blocks are read, since to open it may take seconds.
        longest_pause_s: Longest time between two attempts.

    Raises:
        SourceError: The source cannot be opened now, and `wait` is False.
        SourceUnavailableError: A retry cannot help.
    """
    if wait and later:
        return ReconnectingSource(_Unopened(info), connect, longest_pause_s=longest_pause_s)
    try:
        return ReconnectingSource(connect(), connect, longest_pause_s=longest_pause_s)
    except SourceUnavailableError:
        raise
    except SourceError as error:
        if not wait:
            raise
        refused = _Refused(info, error)
        return ReconnectingSource(refused, connect, longest_pause_s=longest_pause_s)
