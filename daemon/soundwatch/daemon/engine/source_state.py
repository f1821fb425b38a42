"""One source as the engine knows it, and what it has to tell.

Conventions: as in `engine.py`, whose records these are. Its thread alone writes to them, where nothing else is said.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Final, Literal

from soundwatch.daemon.core.source import AudioQuality, ClockCorrection, SourceNotice, SourceStateChange, SourceStats
from soundwatch.daemon.core.types import Block, EndReason, Event, FeatureWindow, Gap, Scores, StreamSummary
from soundwatch.daemon.engine.context import ClipTap, EngineContext, SourceSession
from soundwatch.daemon.events.encoder import LineEncoder, anchor_line, quality_line, source_health_line
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.pipeline.pipeline import DetectionState, FrontEndState, detect_events, end_events, finish_stream
from soundwatch.daemon.status.live import WindowResult

MAX_HANDOVERS: Final = 4


@dataclass(slots=True)
class EngineSource:
    """One source as the engine knows it.

    Attributes:
        listening: The source, and how its sound ended.
        outbound: Where it stands behind the network.
        inbound: Where it stands before it.
        stream: What makes its lines; None before its first block.
        waiting_windows: How many of its windows wait for the network.
        unread_sounds: How often more it may hand sound over before it has to wait.
        handed_sounds: How often it has handed sound over; its own thread counts.
        taken_sounds: How many of those have been through the pipeline.
        owed_sounds: How many of those it is not given back before its windows are done.
        windowed_until: Number of the sample after its latest window.
        paused: Whether its sound is thrown away unheard, since somebody asked for that.
        skipped: All that was thrown away, as a block without samples that comes after it.
        state: Whether it is to be heard just now; away while it is waited for.
        heard_ns: When its sound was last taken.
        truth: How it is and was; a frozen record, so that any thread may read it.
        stats_sample: When its stats are written next.
        tapes: What clips are cut from; None where no sound is kept.
        dropped: Whether it was taken out of the configuration, so that nothing of it is wanted once it is over.
    """

    listening: SourceSession
    outbound: DetectionState
    inbound: FrontEndState = field(default_factory=FrontEndState)
    stream: LineEncoder | None = None
    waiting_windows: int = 0
    unread_sounds: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(MAX_HANDOVERS))
    handed_sounds: int = 0
    taken_sounds: int = 0
    owed_sounds: int = 0
    windowed_until: int = 0
    paused: bool = False
    skipped: Block | None = None
    state: Literal["opening", "heard", "away", "over"] = "opening"
    heard_ns: int = 0
    truth: SourceStats = field(default_factory=SourceStats)
    stats_sample: int = 0
    tapes: ClipTap | None = None
    dropped: bool = False

    @property
    def waits(self) -> bool:
        """Whether the source loses nothing by not being read."""
        return self.listening.source.info.waits


@dataclass(frozen=True, slots=True)
class ModelSwap:
    """From here on another network decides.

    Attributes:
        ears: What all sources share from here on.
    """

    ears: EngineContext


@dataclass(slots=True)
class PendingItem:
    """What a source has to tell when its turn comes.

    Attributes:
        ears: What all sources shared when it came.
        voice: The source.
        heard: A window, a loss, what has become of the source or its sound, another network, or None where the sound
            is over.
        since_ns: When its last sample came.
        end_sample: Where the stream ended then, for what holds no place of its own.
        new_samples: How much sound a window is the first to hold.
    """

    ears: EngineContext
    voice: EngineSource
    heard: FeatureWindow | Gap | SourceNotice | ModelSwap | None
    since_ns: int
    end_sample: int = 0
    new_samples: int = 0


def emit_lines(waiting: PendingItem, scores: Iterator[Scores]) -> list[Callable[[int], Line]]:
    """Decide what one has to tell, and make lines of it.

    Args:
        waiting: It; its voice is changed.
        scores: Those of the batch's windows that are not taken yet; one is taken if this is a window.
    """
    ears, voice, heard = waiting.ears, waiting.voice, waiting.heard
    labels = ears.classifier.contract.labels
    told: Sequence[Event | Gap | StreamSummary] = ()
    if isinstance(heard, SourceStateChange):
        if heard.state in ("lost", "paused"):
            reason: EndReason = "paused" if heard.state == "paused" else "source_lost"
            voice.outbound, told = end_events(voice.outbound, waiting.end_sample, ears.rules, labels, reason)
    elif isinstance(heard, ModelSwap):
        voice.outbound, told = end_events(voice.outbound, waiting.end_sample, heard.ears.rules, labels, "model_changed")
    elif heard is None:
        told = finish_stream(voice.outbound, waiting.end_sample, labels, voice.listening.why_ended())
        if ears.shadow is not None and voice.stream is not None:
            ears.shadow.end(voice.stream, waiting.end_sample)
    elif isinstance(heard, FeatureWindow | Gap):
        own = [next(scores)] if isinstance(heard, FeatureWindow) else []
        voice.outbound, told = detect_events(
            voice.outbound, [heard], own, ears.rules, ears.classifier.contract.features
        )
        if isinstance(heard, FeatureWindow):
            ears.live.publish(_reading(waiting, heard, own[0], ears))
            if ears.shadow is not None and voice.stream is not None:
                ears.shadow.take(voice.stream, heard.features, own[0])
        outbound = voice.outbound
        summary = StreamSummary(outbound.windows, outbound.end_sample, outbound.lost_samples, final=False)
        voice.truth = replace(voice.truth, state="heard", summary=summary)
        told = [*told, *_stats_due(voice, ears)]
    gone = isinstance(heard, SourceStateChange) and heard.state in ("lost", "paused")
    over = heard is None or isinstance(heard, ModelSwap) or gone
    if voice.tapes is not None and voice.stream is not None:
        decided_sample = heard.features.end_sample if isinstance(heard, FeatureWindow) else waiting.end_sample
        voice.tapes.tell(voice.listening.source.info.name, voice.stream, told, decided_sample, over=over)
    lines: list[Callable[[int], Line]] = []
    if told:
        assert voice.stream is not None
        voice.stream = ears.current(voice.stream)
        lines = [partial(voice.stream.line, each) for each in told]
    if isinstance(heard, ModelSwap) and voice.stream is not None:
        voice.stream = heard.ears.taken_over(voice.stream)
        lines.append(voice.stream.hello)
    if isinstance(heard, SourceStateChange | AudioQuality | ClockCorrection):
        lines += _news(voice, heard, waiting.end_sample, ears)
    ears.live.truths[voice.listening.source.info.name] = voice.truth
    return lines


def _reading(waiting: PendingItem, heard: FeatureWindow, scores: Scores, ears: EngineContext) -> WindowResult:
    """One window for those who look."""
    outbound, stream = waiting.voice.outbound, waiting.voice.stream
    assert stream is not None
    return WindowResult(
        source=waiting.voice.listening.source.info.name,
        end_unix_ns=stream.at_unix_ns(scores.end_sample),
        labels=scores.labels,
        values=scores.values,
        level_dbfs=heard.level_dbfs,
        delay_ns=max(0, time.monotonic_ns() - waiting.since_ns),
        windows=outbound.windows,
        heard_s=stream.seconds(scores.end_sample - outbound.lost_samples),
        lost_s=stream.seconds(outbound.lost_samples),
        features=heard.features if ears.live.pictured else None,
    )


def _stats_due(voice: EngineSource, ears: EngineContext) -> list[StreamSummary]:
    """What the stream has come to, if it is time to say so."""
    if ears.stats_s is None:
        return []
    period = round(ears.stats_s * ears.classifier.contract.features.rate_hz)
    due = voice.stats_sample or period
    reached = voice.truth.summary.end_sample
    voice.stats_sample = due if reached < due else (reached // period + 1) * period
    return [] if reached < due else [voice.truth.summary]


def _news(voice: EngineSource, news: SourceNotice, end_sample: int, ears: EngineContext) -> list[Callable[[int], Line]]:
    """Take note of what has become of a source, and make a line of it where there is something new."""
    written_unix_ns, name = ears.clock.written_unix_ns(time.time_ns()), voice.listening.source.info.name
    match news:
        case SourceStateChange(state="back" | "resumed"):
            voice.truth = replace(voice.truth, state="heard")
        case SourceStateChange(state="waiting" | "lost" | "paused" as state):
            losses = voice.truth.losses + (state == "lost")
            voice.truth = replace(voice.truth, state=state, losses=losses, quality=None)
        case AudioQuality():
            voice.truth = replace(voice.truth, quality=news)
            return [partial(quality_line, news, ears.node, name, written_unix_ns)] if news.news else []
        case ClockCorrection():
            assert voice.stream is not None  # it is found by a block that is not the first
            voice.truth = replace(voice.truth, shifted_ns=voice.truth.shifted_ns + news.shift_ns)
            voice.stream = voice.stream.moved(end_sample + 1, news.start_unix_ns)  # that one may have been told of
            return [partial(anchor_line, news, ears.node, name, written_unix_ns)]
    return [partial(source_health_line, news, ears.node, name, written_unix_ns)]


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
