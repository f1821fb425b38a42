"""The position of a stream whose source may be lost: the number and the time of its next sample.

Conventions: nanoseconds of the monotonic clock. A stream's end follows its samples, and the drift of the source's
clock: the deviation of deliveries from their samples that has lasted for two to three windows, as in `clock_sync.py`,
which then has corrected the times. A delay of single deliveries is no drift: sound that a server kept and lost at its
end is a part of the loss.
Does not: find the place of a new source's sound (`reconnect.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.capture.monitoring.clock_sync import WINDOW_NS
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.channels import match_channels
from soundwatch.daemon.core.records.source import GatheringSource, LiveSource
from soundwatch.daemon.core.time.clock import SECOND_NS

DRIFTED_NS: Final = 300_000_000  # deliveries arrive in pieces of 100 ms


@dataclass(frozen=True, slots=True)
class StreamPosition:
    """Position of the stream.

    Attributes:
        source: The open source, or the last one.
        gathering: The source, if it can gather; else None.
        rate_hz: Rate of its blocks.
        channels: Channels of the stream's blocks, constant, since filters and windows depend on the number.
        first_ns: Time of its sample 0, by the monotonic clock.
        lag_ns: Delay of its first block.
        since_ns: Arrival of the first block of the current window.
        offset_samples: Number of its sample 0 in the stream, at its own rate.
        offset_lost_samples: Number of samples missing right before.
        end_sample: Number of the next sample in the stream.
        end_ns: Time of the next sample, by the monotonic clock.
        deviations_ns: Least deviation of an arrival from the samples in the current window, and in the two before.
    """

    source: LiveSource
    gathering: GatheringSource | None
    rate_hz: int
    channels: int
    first_ns: int
    lag_ns: int
    since_ns: int
    offset_samples: int = 0
    offset_lost_samples: int = 0
    end_sample: int = 0
    end_ns: int = 0
    deviations_ns: tuple[int, int, int] = (0, 0, 0)

    @classmethod
    def begun(cls, source: LiveSource, block: Block, first_ns: int, arrival_ns: int) -> StreamPosition:
        """Begin with a source's first block."""
        block_end_ns = first_ns + (block.first_sample + block.samples.shape[1]) * SECOND_NS // block.rate_hz
        gathering = source if isinstance(source, GatheringSource) else None
        channels, lag_ns = block.samples.shape[0], arrival_ns - block_end_ns
        return cls(source, gathering, block.rate_hz, channels, first_ns, lag_ns, arrival_ns)

    def placed(self, block: Block, lost_samples: int) -> Block:
        """Convert a block of the source to one of the stream."""
        return Block(
            match_channels(block.samples, self.channels),
            block.rate_hz,
            self.offset_samples + block.first_sample,
            block.lost_samples + lost_samples,
            block.arrival_ns,
        )

    def after(self, block: Block, arrival_ns: int) -> StreamPosition:
        """Advance by a block's samples and the drift of the source's clock."""
        end_sample = block.first_sample + block.samples.shape[1]
        by_samples_ns = self.first_ns + end_sample * SECOND_NS // self.rate_hz
        since_ns, (now_ns, before_ns, earlier_ns) = self.since_ns, self.deviations_ns
        deviation_ns = arrival_ns - self.lag_ns - by_samples_ns
        if arrival_ns - since_ns >= WINDOW_NS:
            since_ns, now_ns, before_ns, earlier_ns = arrival_ns, deviation_ns, now_ns, before_ns
        deviations_ns = (min(now_ns, deviation_ns), before_ns, earlier_ns)
        drift_ns = min(deviations_ns)
        return replace(
            self,
            since_ns=since_ns,
            end_sample=self.offset_samples + end_sample,
            end_ns=by_samples_ns + (drift_ns if abs(drift_ns) > DRIFTED_NS else 0),
            deviations_ns=deviations_ns,
        )
