"""PURPOSE."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from soundwatch.daemon.core.source import AudioQuality, ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.core.types import (
    EndReason,
    Event,
    FeatureWindow,
    Gap,
    Scores,
    StreamSummary,
    WindowResult,
)
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.source_state import EngineSource, ModelSwap, PendingItem
from soundwatch.daemon.events.encoder import anchor_line, quality_line, source_health_line
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.pipeline.pipeline import detect_events, end_events, finish_stream


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
