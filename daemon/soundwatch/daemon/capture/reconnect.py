"""A live source that is opened again whenever it is lost, for as long as the program runs.

Conventions: the stream's time goes on while the source is away: its first block after that has the number that it
would have had, by the steady clock, with all between counted as lost, at the device's rate as it is then.
Rule: the first try comes after `FIRST_PAUSE_S`, each further one twice as late, `LONGEST_PAUSE_S` at most. A source
that waits for its device by itself, as a capture process does, is not opened again meanwhile.
Does not: know what it opens, or move the stream's times (`capture/clock_sync.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.channels import match_channels
from soundwatch.daemon.core.clock import ClockReading, read_clocks
from soundwatch.daemon.core.errors import SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.source import (
    LiveSource,
    SourceInfo,
    SourceNotice,
    SourceStateChange,
    SourceTransitionReason,
)
from soundwatch.daemon.core.types import Block, read_only

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 5.0
DRIFTED_NS: Final = 300_000_000  # the two clocks are compared by arrivals, which come in deliveries
SECOND_NS: Final = 1_000_000_000
OLDEST_NS: Final = 5_000_000_000  # a first block that seems older was captured before the wall clock was set


class ReconnectingSource:
    """A source that outlasts its loss.

    Args:
        first: It, as opened for the first time.
        again: Opens it anew, or raises `SourceError`.
        now: Tells both clocks.
    """

    def __init__(
        self,
        first: LiveSource,
        again: Callable[[], LiveSource],
        now: Callable[[], ClockReading] = read_clocks,
    ) -> None:
        self.start_unix_ns = 0
        self._source: LiveSource = first
        self._again = again
        self._now = now
        self._wanted_ns = now().steady_ns
        self._plight: SourceStateChange | None = None  # as last told; None while it is heard
        self._heard: _Heard | None = None
        self._stopped = False
        self._latch = threading.Lock()  # held until `stop`: its release is safe in a signal handler
        self._latch.acquire()

    @property
    def info(self) -> SourceInfo:
        """Of the device as it was opened last."""
        return self._source.info

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Blocks until `stop`, and what becomes of the source.

        Raises:
            SourceUnavailableError: Waiting is of no use.
        """
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        source: LiveSource | None = self._source
        while not self._stopped:
            try:
                if source is None:
                    self._source = source = self._again()
                    self._stop_late(source)
                for each in source.blocks():
                    if isinstance(each, Block):
                        backoff.reset()
                    yield from self._passed_on(each, source)
                error = SourceError(f"{source.info.description} ended.")
            except SourceUnavailableError:
                raise
            except SourceError as caught:
                error = caught
            source = None
            if not self._stopped:
                yield from self._missed(error)
                self._latch.acquire(timeout=backoff.next_s())
        yield from self._last_loss()

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._source.stop()
        with contextlib.suppress(RuntimeError):  # the second time it is open already
            self._latch.release()

    def _stop_late(self, source: LiveSource) -> None:
        """Stop a source that was being opened when all was to be stopped."""
        if self._stopped:
            source.stop()

    def _missed(self, error: SourceError) -> Iterator[SourceStateChange]:
        """Say that the source is away, once."""
        if self._plight is not None:
            return
        if self._heard is None:
            self._plight = SourceStateChange("waiting", "absent", str(error))
        else:
            away_ns = max(0, self._now().steady_ns - self._heard.end_ns)
            reason: SourceTransitionReason = "stalled" if isinstance(error, StallError) else "ended"
            self._plight = SourceStateChange("lost", reason, str(error), away_ns, away_ns)
        yield self._plight

    def _passed_on(self, each: Block | SourceNotice, source: LiveSource) -> Iterator[Block | SourceNotice]:
        """A block with its place in the stream; where it is the first after a loss, then that the source is back."""
        if not isinstance(each, Block):
            if self._plight is None and isinstance(each, SourceStateChange):
                self._plight = each
                yield each
            return
        now = self._now()
        arrival_ns = now.steady_ns if each.arrival_ns is None else each.arrival_ns
        back = None
        if self._heard is None or self._heard.source is not source:
            back = self._taken_up(each, source, arrival_ns, now)
        assert self._heard is not None
        block = self._heard.placed(each, lost_samples=0 if back is None else self._heard.offset_lost_samples)
        self._heard = self._heard.after(each, arrival_ns)
        yield block
        if back is not None and self._plight is not None:
            self._plight = None
            yield back

    def _taken_up(self, block: Block, source: LiveSource, arrival_ns: int, now: ClockReading) -> SourceStateChange:
        """Find the place of a newly opened source's sound in the stream."""
        least_age_ns = (block.first_sample + block.samples.shape[1]) * SECOND_NS // block.rate_hz
        first_ns = now.steady_ns - (now.unix_ns - source.start_unix_ns)
        if not least_age_ns <= now.steady_ns - first_ns <= least_age_ns + OLDEST_NS:
            first_ns = arrival_ns - least_age_ns
        before, self._heard = self._heard, _Heard.begun(source, block, first_ns, arrival_ns)
        said = f"{source.info.description} is heard again."
        if before is None:
            self.start_unix_ns = now.unix_ns - (now.steady_ns - first_ns)
            return SourceStateChange("back", "absent", said, first_ns - self._wanted_ns)
        lost_samples = max(1, (first_ns - before.end_ns) * block.rate_hz // SECOND_NS)
        end_sample = before.end_sample * block.rate_hz // before.rate_hz
        self._heard = replace(
            self._heard,
            offset_samples=end_sample + lost_samples,
            offset_lost_samples=lost_samples,
            channels=before.channels,
        )
        lost_ns = lost_samples * SECOND_NS // block.rate_hz
        reason = "ended" if self._plight is None else self._plight.reason
        return SourceStateChange("back", reason, said, lost_ns, lost_ns)

    def _last_loss(self) -> Iterator[Block]:
        """What is missing of a stream that ends while its source is away."""
        if self._heard is None or self._plight is None:
            return
        heard = self._heard
        lost_samples = (self._now().steady_ns - heard.end_ns) * heard.rate_hz // SECOND_NS
        if lost_samples > 0:
            nothing = read_only(np.zeros((heard.channels, 0), np.float32))
            yield Block(nothing, heard.rate_hz, heard.end_sample + lost_samples, lost_samples)


@dataclass(frozen=True, slots=True)
class _Refused:
    """A source that could not be opened at first."""

    info: SourceInfo
    error: SourceError
    start_unix_ns: int = 0

    def blocks(self) -> Iterator[Block]:
        raise self.error

    def stop(self) -> None:
        pass


def open_reconnecting(connect: Callable[[], LiveSource], name: str, description: str, wait: bool) -> ReconnectingSource:
    """A source that is opened by `connect`, each time.

    Raises:
        SourceError: Without `wait`, it cannot be opened now.
        SourceUnavailableError: Waiting is of no use.
    """
    try:
        return ReconnectingSource(connect(), connect)
    except SourceUnavailableError:
        raise
    except SourceError as error:
        if not wait:
            raise
        return ReconnectingSource(_Refused(SourceInfo(name, description, 0, 0), error), connect)


@dataclass(frozen=True, slots=True)
class _Heard:
    """Where the stream stands.

    Attributes:
        source: What is open, or was last.
        rate_hz: Of its blocks.
        channels: Of the stream's blocks, the same for good: filters and windows are built for them.
        first_ns: Its sample 0, by the steady clock.
        lag_ns: How late its first block came.
        offset_samples: Number of its sample 0 in the stream, at its own rate.
        offset_lost_samples: How many are missing right before.
        end_sample: Number of the next sample in the stream.
        end_ns: That, by the steady clock.
    """

    source: LiveSource
    rate_hz: int
    channels: int
    first_ns: int
    lag_ns: int
    offset_samples: int = 0
    offset_lost_samples: int = 0
    end_sample: int = 0
    end_ns: int = 0

    @classmethod
    def begun(cls, source: LiveSource, block: Block, first_ns: int, arrival_ns: int) -> _Heard:
        """At a source's first block."""
        block_end_ns = first_ns + (block.first_sample + block.samples.shape[1]) * SECOND_NS // block.rate_hz
        return cls(source, block.rate_hz, block.samples.shape[0], first_ns, arrival_ns - block_end_ns)

    def placed(self, block: Block, lost_samples: int) -> Block:
        """A block of the source as one of the stream."""
        return Block(
            match_channels(block.samples, self.channels),
            block.rate_hz,
            self.offset_samples + block.first_sample,
            block.lost_samples + lost_samples,
            block.arrival_ns,
        )

    def after(self, block: Block, arrival_ns: int) -> _Heard:
        """Where the stream stands after it: by the samples, or by its arrival where the clocks have drifted apart."""
        end_sample = block.first_sample + block.samples.shape[1]
        by_samples_ns = self.first_ns + end_sample * SECOND_NS // self.rate_hz
        by_arrival_ns = arrival_ns - self.lag_ns
        drifted = abs(by_samples_ns - by_arrival_ns) > DRIFTED_NS
        end_ns = by_arrival_ns if drifted else by_samples_ns
        return replace(self, end_sample=self.offset_samples + end_sample, end_ns=end_ns)
