"""One source as the engine knows it, and what it has to tell.

Conventions: as in `engine/engine.py`, whose records these are. Its thread alone writes to them, where nothing else is
said.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal

from soundwatch.daemon.core.source import SourceNotice
from soundwatch.daemon.core.types import Block, FeatureWindow, Gap
from soundwatch.daemon.engine.context import ClipTap, EngineContext
from soundwatch.daemon.engine.session import SourceSession
from soundwatch.daemon.events.encoder import LineEncoder
from soundwatch.daemon.pipeline.pipeline import DetectionState, FrontEndState
from soundwatch.daemon.status.live import SourceStats

MAX_HANDOVERS: Final = 4


@dataclass(slots=True)
class EngineSource:
    """One source as the engine knows it.

    Attributes:
        listening: The source, and how its sound ended.
        detection_state: Where it stands behind the network.
        front_end_state: Where it stands before it.
        stream: What makes its lines; None before its first block.
        waiting_windows: How many of its windows wait for the network.
        handover_slots: How often more it may hand sound over before it has to wait.
        handovers: How often it has handed sound over; its own thread counts.
        processed_handovers: How many of those have been through the pipeline.
        deferred_slots: How many of those it is not given back before its windows are done.
        windowed_until: Number of the sample after its latest window.
        paused: Whether its sound is thrown away unheard, since somebody asked for that.
        skipped: All that was thrown away, as a block without samples that comes after it.
        state: Whether it is to be heard just now; away while it is waited for.
        last_sound_ns: When its sound was last taken.
        truth: How it is and was; a frozen record, so that any thread may read it.
        stats_sample: When its stats are written next.
        clip_tap: What clips are cut from; None where no sound is kept.
        dropped: Whether it was taken out of the configuration, so that nothing of it is wanted once it is over.
    """

    listening: SourceSession
    detection_state: DetectionState
    front_end_state: FrontEndState = field(default_factory=FrontEndState)
    stream: LineEncoder | None = None
    waiting_windows: int = 0
    handover_slots: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_HANDOVERS))
    handovers: int = 0
    processed_handovers: int = 0
    deferred_slots: int = 0
    windowed_until: int = 0
    paused: bool = False
    skipped: Block | None = None
    state: Literal["opening", "heard", "away", "over"] = "opening"
    last_sound_ns: int = 0
    truth: SourceStats = field(default_factory=SourceStats)
    stats_sample: int = 0
    clip_tap: ClipTap | None = None
    dropped: bool = False

    @property
    def waits(self) -> bool:
        """Whether the source loses nothing by not being read."""
        return self.listening.source.info.supports_backpressure


@dataclass(frozen=True, slots=True)
class ModelSwap:
    """From here on another network decides.

    Attributes:
        context: What all sources share from here on.
    """

    context: EngineContext


@dataclass(slots=True)
class PendingItem:
    """What a source has to tell when its turn comes.

    Attributes:
        context: What all sources shared when it came.
        voice: The source.
        heard: A window, a loss, what has become of the source or its sound, another network, or None where the sound
            is over.
        since_ns: When its last sample came.
        end_sample: Where the stream ended then, for what holds no place of its own.
        new_samples: How much sound a window is the first to hold.
    """

    context: EngineContext
    voice: EngineSource
    heard: FeatureWindow | Gap | SourceNotice | ModelSwap | None
    since_ns: int
    end_sample: int = 0
    new_samples: int = 0


def accumulate_skipped(skipped: Block | None, block: Block) -> Block:
    """What was thrown away so far and one block more, as a block without samples that comes after both."""
    lost_samples = block.lost_samples + block.samples.shape[1] + (0 if skipped is None else skipped.lost_samples)
    end_sample = block.first_sample + block.samples.shape[1]
    return Block(block.samples[:, :0], block.rate_hz, end_sample, lost_samples)


def prepend_skipped(voice: EngineSource, block: Block | None) -> Block | None:
    """The next block, with what was thrown away before it counted as lost."""
    skipped, voice.skipped = voice.skipped, None
    if skipped is None or block is None:
        return block
    return replace(block, lost_samples=block.lost_samples + skipped.lost_samples)


def mark_paused(heard: Sequence[FeatureWindow | Gap]) -> list[FeatureWindow | Gap]:
    """What is heard after a pause: the gap in it is the pause's."""
    return [replace(each, reason="paused") if isinstance(each, Gap) else each for each in heard]
