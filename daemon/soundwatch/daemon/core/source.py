"""What becomes of a live source: it is waited for, lost, and back; its sound is poor; its times are moved.

Conventions: as in `types.py`. Nanoseconds, since while a source is away it has no samples to count in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal, Protocol

from soundwatch.daemon.core.types import Block, SourceInfo, StreamSummary

SourceTransition = Literal["waiting", "lost", "back", "paused", "resumed"]
SourceTransitionReason = Literal["absent", "ended", "stalled", "asked"]
AudioFault = Literal["silent", "quiet", "noisy", "zeros", "dead_channel", "dc_offset", "clipping", "rate", "stalls"]
ClockCorrectionReason = Literal["clock_step", "drift"]


@dataclass(frozen=True, slots=True)
class SourceStateChange:
    """What has become of a source that is opened again whenever it is lost.

    Attributes:
        state: waiting where it was not there from the start, lost, or back; paused or resumed where somebody asked.
        reason: It is not there, has ended, delivers nothing though it has not ended, or it was asked for.
        detail: The same as a sentence for people.
        away_ns: How long it has not been heard.
        missed_ns: How much of its sound is lost by that; once it is back a `Gap` tells of the same.
    """

    state: SourceTransition
    reason: SourceTransitionReason
    detail: str
    away_ns: int = 0
    missed_ns: int = 0


@dataclass(frozen=True, slots=True)
class AudioQuality:
    """What a source's sound is like, of the last ten seconds.

    Attributes:
        faults: What is wrong with it, sorted; none where all is well.
        level_dbfs: Root mean square over all channels; None for digital silence.
        floor_dbfs: The same of the quietest second.
        peak: The largest magnitude, full scale 1.
        dc_offset: Mean of the channel that is furthest from 0.
        clipped_share: Share of samples at full scale.
        same_channels: Whether there are two channels that are the same, and not silent.
        measured_hz: Samples a second by our clock, of the last minute; None before one has passed.
        zeros_ms: The longest run of exact zeros in all channels.
        waited_ms: The longest time in which nothing was delivered.
        news: Whether the faults, or whether the channels are the same, are others than before.
    """

    faults: tuple[AudioFault, ...]
    level_dbfs: float | None
    floor_dbfs: float | None
    peak: float
    dc_offset: float
    clipped_share: float
    same_channels: bool
    measured_hz: float | None
    zeros_ms: int = 0
    waited_ms: int = 0
    news: bool = True


@dataclass(frozen=True, slots=True)
class ClockCorrection:
    """Later samples have other times than they would have had.

    Attributes:
        reason: The wall clock was set, or the two clocks run at different speeds.
        shift_ns: What they are moved by.
        start_unix_ns: UTC that sample 0 would have for them to be right.
    """

    reason: ClockCorrectionReason
    shift_ns: int
    start_unix_ns: int


SourceNotice = SourceStateChange | AudioQuality | ClockCorrection


@dataclass(frozen=True, slots=True)
class SourceStats:
    """How a source is now, and how it was so far: all that a metric or a page may want to tell of it.

    Attributes:
        state: waiting before its first sound, then heard, lost, or paused because somebody asked for that.
        losses: How often it was lost.
        summary: What its stream has come to; while it is lost, up to then.
        shifted_ns: What its times have been moved by in all.
        quality: What its sound was like in the last ten seconds; None before they are over, and where it is lost.
    """

    state: Literal["waiting", "heard", "lost", "paused"] = "waiting"
    losses: int = 0
    summary: StreamSummary = field(default_factory=lambda: StreamSummary(0, 0, 0, final=False))
    shifted_ns: int = 0
    quality: AudioQuality | None = None


class LiveSource(Protocol):
    """The same, but one that may outlast its loss and then says so among its blocks. Every `Source` is one."""

    @property
    def info(self) -> SourceInfo:
        """As of a `Source`; until the first block its rate and channels may be 0."""

    @property
    def start_unix_ns(self) -> int:
        """As of a `Source`."""

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """As of a `Source`; a block without samples only tells of a loss."""

    def stop(self) -> None:
        """As of a `Source`."""
