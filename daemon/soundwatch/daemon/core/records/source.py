"""Records and protocols of live sources: connection state, audio quality, clock corrections.

Conventions: as in `core/records/`. Times are nanoseconds, since a source that is away has no samples to count in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal, Protocol, runtime_checkable

from soundwatch.daemon.core.records.block import Block

DEMO_DESCRIPTION: Final = "the bundled demo scene"  # of the one source that is no microphone, network or recording
SourceTransition = Literal["waiting", "lost", "back", "paused", "resumed"]
SourceTransitionReason = Literal["absent", "ended", "stalled", "asked"]
SourceState = Literal["opening", "waiting", "heard", "lost", "paused", "ended"]
AudioFault = Literal[
    "silent",
    "quiet",
    "noisy",
    "zeros",
    "dead_channel",
    "opposite_channels",
    "dc_offset",
    "clipping",
    "rate",
    "stalls",
]
ClockCorrectionReason = Literal["clock_step", "drift"]


@dataclass(frozen=True, slots=True)
class SourceStateChange:
    """Transition of a source that is reopened after each loss.

    Attributes:
        state: waiting if the source was absent from the start, lost, or back; paused or resumed by request.
        reason: The source is absent, ended, delivers nothing although it has not ended, or a request was made.
        detail: Description in one sentence.
        away_ns: Time since the last sample.
        missed_ns: Duration of the lost sound; once the source is back, a `Gap` accounts for it.
    """

    state: SourceTransition
    reason: SourceTransitionReason
    detail: str
    away_ns: int = 0
    missed_ns: int = 0


@dataclass(frozen=True, slots=True)
class AudioQuality:
    """Statistics and faults of a source's sound over the last ten seconds.

    Attributes:
        faults: Detected faults, sorted; empty if there is none.
        level_dbfs: Root mean square over all channels; None for digital silence.
        floor_dbfs: Root mean square of the quietest second; None if a second is digital silence.
        peak: Largest magnitude, full scale 1.
        dc_offset: Mean of the channel that is furthest from 0.
        clipped_share: Share of samples at full scale.
        same_channels: True if there are two identical channels that are not silent.
        measured_hz: Samples per second of the monotonic clock in the last minute; None before one has passed.
        longest_zero_run_ms: Longest run of exact zeros in all channels.
        longest_gap_ms: Longest time without a delivery.
        changed: True if the faults, or `same_channels`, differ from the previous period.
    """

    faults: tuple[AudioFault, ...]
    level_dbfs: float | None
    floor_dbfs: float | None
    peak: float
    dc_offset: float
    clipped_share: float
    same_channels: bool
    measured_hz: float | None
    longest_zero_run_ms: int = 0
    longest_gap_ms: int = 0
    changed: bool = True


@dataclass(frozen=True, slots=True)
class ClockCorrection:
    """Correction of a stream's times, from the next sample on.

    Attributes:
        reason: The wall clock was set, or the two clocks run at different speeds.
        shift_ns: Amount added to the times of later samples.
        start_unix_ns: Corrected UTC of sample 0.
    """

    reason: ClockCorrectionReason
    shift_ns: int
    start_unix_ns: int


SourceNotice = SourceStateChange | AudioQuality | ClockCorrection


def state_after(transition: SourceTransition) -> SourceState:
    """Return the state of a source after a transition."""
    return "heard" if transition == "back" or transition == "resumed" else transition


class LiveSource(Protocol):
    """A source that reports its state, quality and clock among its blocks. Every `Source` is one."""

    @property
    def info(self) -> SourceInfo:
        """Description of the source; rate and channels may be 0 until the first block."""

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0 in nanoseconds; final once `blocks` has given the first block."""

    def blocks(self) -> Iterator[Block | SourceNotice]:
        """Yield blocks and notices until the sound ends or `stop` is called.

        A block without samples only accounts for lost ones.

        Raises:
            SourceError: The source failed and gives no more.
        """

    def stop(self) -> None:
        """Make `blocks` end soon. May be called from any thread and from a signal handler, and twice."""


@runtime_checkable
class GatheringSource(Protocol):
    """A source whose system keeps the sound that is not read yet, so that it can be read in fewer, longer blocks."""

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end at this sample of the stream, or soon after; called in the thread of `blocks`."""


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of an opened source.

    Attributes:
        name: Name in events.
        description: Name for people: the device's name, the file's path, the address without its secrets.
        rate_hz: Sampling rate of the blocks.
        channels: C of the blocks.
        supports_backpressure: True if the writer waits for the reader, so that a busy machine loses no sound.
    """

    name: str
    description: str
    rate_hz: int
    channels: int
    supports_backpressure: bool = False


class Source(Protocol):
    """A source of blocks. Constructing one opens it, or raises `SourceError`."""

    @property
    def info(self) -> SourceInfo:
        """Description of the opened source."""

    @property
    def start_unix_ns(self) -> int:
        """UTC of sample 0 in nanoseconds; final once `blocks` has given the first block."""

    def blocks(self) -> Iterator[Block]:
        """Yield blocks until the sound ends or `stop` is called; waits for them where the source is live.

        Raises:
            SourceError: The source failed and gives no more.
        """

    def stop(self) -> None:
        """Make `blocks` end soon. May be called from any thread and from a signal handler, and twice."""
