"""What becomes of a live source: it is waited for, lost, and back; and what its sound is like.

Conventions: as in `types.py`. Nanoseconds, since while a source is away it has no samples to count in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from soundwatch.daemon.types import Block, SourceInfo

SourceState = Literal["waiting", "lost", "back", "paused", "resumed"]
SourceReason = Literal["absent", "ended", "stalled", "asked"]
Fault = Literal["silent", "quiet", "dead_channel", "dc_offset", "clipping", "rate"]


@dataclass(frozen=True, slots=True)
class Plight:
    """What has become of a source that is opened again whenever it is lost.

    Attributes:
        state: waiting where it was not there from the start, lost, or back; paused or resumed where somebody asked.
        reason: It is not there, has ended, delivers nothing though it has not ended, or it was asked for.
        detail: The same as a sentence for people.
        away_ns: How long it has not been heard.
        missed_ns: How much of its sound is lost by that; once it is back a `Gap` tells of the same.
        start_unix_ns: UTC of sample 0 as it has to be from now on for later samples to have the right time.
    """

    state: SourceState
    reason: SourceReason
    detail: str
    away_ns: int = 0
    missed_ns: int = 0
    start_unix_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """What a source's sound is like, of the last ten seconds.

    Attributes:
        faults: What is wrong with it, sorted; none where all is well.
        level_dbfs: Root mean square over all channels; None for digital silence.
        floor_dbfs: The same of the quietest second.
        peak: The largest magnitude, full scale 1.
        dc_offset: Mean of the channel that is furthest from 0.
        clipped_share: Share of samples at full scale.
        same_channels: Whether there are two channels that are the same.
        measured_hz: Samples a second by our clock, of the last minute; None before one has passed.
    """

    faults: tuple[Fault, ...]
    level_dbfs: float | None
    floor_dbfs: float | None
    peak: float
    dc_offset: float
    clipped_share: float
    same_channels: bool
    measured_hz: float | None


class LiveSource(Protocol):
    """The same, but one that may outlast its loss and then says so among its blocks. Every `Source` is one."""

    @property
    def info(self) -> SourceInfo:
        """As of a `Source`; until the first block its rate and channels may be 0."""

    @property
    def start_unix_ns(self) -> int:
        """As of a `Source`."""

    def blocks(self) -> Iterator[Block | Plight | Quality]:
        """As of a `Source`; a block without samples only tells of a loss."""

    def stop(self) -> None:
        """As of a `Source`."""
