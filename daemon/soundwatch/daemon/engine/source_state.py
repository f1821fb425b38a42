"""The engine's state of one source, and the items that wait for the model.

Conventions: as in `engine.py`. The engine's thread alone writes to these records, except where an attribute says
otherwise.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import (
    AudioQuality,
    ClockCorrection,
    SourceNotice,
    SourceState,
    SourceStateChange,
    state_after,
)
from soundwatch.daemon.core.records.stream import Gap
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.detection.decide import initial_state
from soundwatch.daemon.engine.context import ClipTap, EngineContext, LevelTap
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.pipeline.pipeline import DetectionState, FrontEndState
from soundwatch.daemon.status.live import SourceStats

MAX_HANDOVERS: Final = 4


@dataclass(slots=True)
class EngineSource:
    """State of one source.

    Attributes:
        session: The source and the reason of its end.
        detection_state: State behind the model.
        front_end_state: State before the model.
        encoder: Makes its lines; None before the first block.
        waiting_windows: Number of its windows in the inference queue.
        handover_slots: Handovers that the capture thread may make before it has to wait.
        handovers: Handovers made; the capture thread counts.
        processed_handovers: Handovers that have been through the pipeline.
        deferred_slots: Slots that are released once waiting windows are done.
        windowed_until: Number of the sample after its latest window.
        paused: True while its sound is discarded on request.
        paused_gap: All discarded sound, as a block without samples that follows it.
        state: State of the source apart from a pause, when its last block or notice arrived.
        mixed_quality: True if the next report of its audio quality contains discarded sound.
        missed_quality: True if the audio quality has changed in a report that was discarded.
        last_sound_ns: Arrival of its last block.
        stats: Running statistics; a frozen record, so any thread may read it.
        stats_sample: Sample at which its stats are due next.
        clip_tap: Receives sound for clips; None if no sound is kept.
        level_tap: Receives sound for the sound level meter; None if it is off.
        removed: True once it was taken out of the configuration.
    """

    session: SourceSession
    detection_state: DetectionState
    front_end_state: FrontEndState = field(default_factory=FrontEndState)
    encoder: LineEncoder | None = None
    waiting_windows: int = 0
    handover_slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_HANDOVERS))
    handovers: int = 0
    processed_handovers: int = 0
    deferred_slots: int = 0
    windowed_until: int = 0
    paused: bool = False
    paused_gap: Block | None = None
    state: SourceState = "opening"
    mixed_quality: bool = False
    missed_quality: bool = False
    last_sound_ns: int = 0
    stats: SourceStats = field(default_factory=SourceStats)
    stats_sample: int = 0
    clip_tap: ClipTap | None = None
    level_tap: LevelTap | None = None
    removed: bool = False

    @property
    def name(self) -> str:
        """Name in events."""
        return self.session.source.info.name

    @property
    def has_backpressure(self) -> bool:
        """True if the source loses nothing while it is not read."""
        return self.session.source.info.supports_backpressure

    @property
    def end_sample(self) -> int:
        """Number of the sample after the last that was windowed, at the model's rate."""
        return self.front_end_state.windowing.end_sample


def engine_source(session: SourceSession, context: EngineContext) -> EngineSource:
    """Return the state of a source before its first block."""
    detection_state = DetectionState(initial_state(context.rules_for(session.source.info.name)))
    return EngineSource(session, detection_state, clip_tap=context.clip_tap, level_tap=context.level_tap)


@dataclass(frozen=True, slots=True)
class ModelSwap:
    """A change of the model in a source's stream.

    Attributes:
        context: Dependencies from here on.
    """

    context: EngineContext


@dataclass(slots=True)
class PendingItem:
    """One item in the inference queue.

    Attributes:
        context: Dependencies at the time of its arrival.
        source: The source.
        content: A window, a loss, a notice, a model swap, or None for the end of the sound.
        since_ns: Arrival of its last sample.
        end_sample: End of the stream at that time, for content without a position of its own.
        new_samples: Sound that a window is the first to contain.
    """

    context: EngineContext
    source: EngineSource
    content: FeatureWindow | Gap | SourceNotice | ModelSwap | None
    since_ns: int
    end_sample: int = 0
    new_samples: int = 0


def take_notice(source: EngineSource, notice: SourceNotice) -> SourceNotice | None:
    """Take a notice into the state of its source.

    Returns:
        The notice; None for an audio quality that was measured in discarded sound. The first one after a pause is
        marked as changed if one before was.
    """
    if isinstance(notice, SourceStateChange):
        if notice.reason == "asked":
            source.mixed_quality = True
        else:
            source.state = state_after(notice.state)
    if not isinstance(notice, AudioQuality):
        return notice
    if source.paused or source.mixed_quality:
        source.mixed_quality, source.missed_quality = False, source.missed_quality or notice.changed
        return None
    missed, source.missed_quality = source.missed_quality, False
    return replace(notice, changed=True) if missed else notice


def log_notice(log: Logger, source: str, notice: SourceNotice) -> None:
    """Log a notice of a source; recovery is info."""
    if isinstance(notice, SourceStateChange):
        write = log.info if notice.state in ("back", "resumed") else log.warning
        write(f"source_{notice.state}", source=source, reason=notice.detail)
    elif isinstance(notice, ClockCorrection):
        log.warning("source_clock_corrected", source=source, reason=notice.reason, shift_s=notice.shift_ns / 1e9)
    elif notice.changed:
        write = log.warning if notice.faults else log.info
        write(f"audio_quality_{'poor' if notice.faults else 'good'}", source=source, faults=", ".join(notice.faults))


def add_paused_gap(gap: Block | None, block: Block) -> Block:
    """Add a discarded block to the gap so far; the result is a block without samples that follows both."""
    lost_samples = block.lost_samples + block.samples.shape[1] + (0 if gap is None else gap.lost_samples)
    end_sample = block.first_sample + block.samples.shape[1]
    return Block(block.samples[:, :0], block.rate_hz, end_sample, lost_samples)


def take_paused_gap(source: EngineSource, block: Block | None) -> Block | None:
    """Return the next block with the gap before it counted as lost, and clear the gap."""
    gap, source.paused_gap = source.paused_gap, None
    if gap is None or block is None:
        return block
    return replace(block, lost_samples=block.lost_samples + gap.lost_samples)


def mark_paused(contents: Sequence[FeatureWindow | Gap]) -> list[FeatureWindow | Gap]:
    """Give the gaps in the sound after a pause the reason `paused`."""
    return [replace(content, reason="paused") if isinstance(content, Gap) else content for content in contents]
