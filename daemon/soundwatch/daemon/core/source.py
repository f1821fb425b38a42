"""What becomes of a live source: it is waited for, lost, and back; its sound is poor; its times are moved.

Conventions: as in `core/types.py`. Nanoseconds, since while a source is away it has no samples to count in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

from soundwatch.daemon.core.types import Block

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


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What is known of an opened source.

    Attributes:
        name: As events carry it.
        description: What a person would call it: the device's name, the file's path.
        rate_hz: Of the blocks it gives.
        channels: C of the blocks it gives.
        waits: Whether its sound is held back until it is asked for, so that a busy machine loses none of it.
    """

    name: str
    description: str
    rate_hz: int
    channels: int
    waits: bool = False


class Source(Protocol):
    """Where sound comes from. Constructing one opens it, or raises `SourceError`."""

    @property
    def info(self) -> SourceInfo:
        """What was opened."""

    @property
    def start_unix_ns(self) -> int:
        """UTC of its sample 0 in nanoseconds; final once `blocks` has given the first block."""

    def blocks(self) -> Iterator[Block]:
        """Blocks until the sound ends or `stop` is called; waits for them where the source is live.

        Raises:
            SourceError: The source broke and will give no more.
        """

    def stop(self) -> None:
        """Make `blocks` end soon. May be called from any thread and from a signal handler, and twice."""
