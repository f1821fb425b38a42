"""Turn the items of the inference queue into events, lines and statistics of one source."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from soundwatch.daemon.core.source import AudioQuality, ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.core.types import EndReason, Event, FeatureWindow, Gap, Scores, StreamSummary, WindowResult
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.source_state import EngineSource, ModelSwap, PendingItem
from soundwatch.daemon.events.encoder import anchor_line, quality_line, source_health_line
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.pipeline.pipeline import detect_events, end_events, finish_stream


def emit_lines(waiting: PendingItem, scores: Iterator[Scores]) -> list[Line]:
    """Decide what one has to tell, and make lines of it.

    Args:
        waiting: It; its voice is changed.
        scores: Those of the batch's windows that are not taken yet; one is taken if this is a window.
    """
    context, voice, heard = waiting.context, waiting.voice, waiting.heard
    labels = context.classifier.contract.labels
    told: Sequence[Event | Gap | StreamSummary] = ()
    if isinstance(heard, SourceStateChange):
        if heard.state in ("lost", "paused"):
            reason: EndReason = "paused" if heard.state == "paused" else "source_lost"
            voice.detection_state, told = end_events(
                voice.detection_state, waiting.end_sample, context.rules, labels, reason
            )
    elif isinstance(heard, ModelSwap):
        voice.detection_state, told = end_events(
            voice.detection_state, waiting.end_sample, heard.context.rules, labels, "model_changed"
        )
    elif heard is None:
        told = finish_stream(voice.detection_state, waiting.end_sample, labels, voice.listening.end_reason())
        if context.shadow is not None and voice.stream is not None:
            context.shadow.end(voice.stream, waiting.end_sample)
    elif isinstance(heard, FeatureWindow | Gap):
        own = [next(scores)] if isinstance(heard, FeatureWindow) else []
        voice.detection_state, told = detect_events(
            voice.detection_state, [heard], own, context.rules, context.classifier.contract.features
        )
        if isinstance(heard, FeatureWindow):
            context.live.publish(_reading(waiting, heard, own[0], context))
            if context.shadow is not None and voice.stream is not None:
                context.shadow.take(voice.stream, heard.features, own[0])
        detection_state = voice.detection_state
        summary = StreamSummary(
            detection_state.windows, detection_state.end_sample, detection_state.lost_samples, final=False
        )
        voice.truth = replace(voice.truth, state="heard", summary=summary)
        told = [*told, *_stats_due(voice, context)]
    gone = isinstance(heard, SourceStateChange) and heard.state in ("lost", "paused")
    over = heard is None or isinstance(heard, ModelSwap) or gone
    if voice.clip_tap is not None and voice.stream is not None:
        decided_sample = heard.features.end_sample if isinstance(heard, FeatureWindow) else waiting.end_sample
        voice.clip_tap.add_events(voice.listening.source.info.name, voice.stream, told, decided_sample, final=over)
    lines: list[Line] = []
    if told:
        assert voice.stream is not None
        voice.stream = context.current(voice.stream)
        lines = [voice.stream.line(each) for each in told]
    if isinstance(heard, ModelSwap) and voice.stream is not None:
        voice.stream = heard.context.rebind(voice.stream)
        lines.append(voice.stream.hello())
    if isinstance(heard, SourceStateChange | AudioQuality | ClockCorrection):
        lines += _news(voice, heard, waiting.end_sample, context)
    context.live.source_stats[voice.listening.source.info.name] = voice.truth
    return lines


def _reading(waiting: PendingItem, heard: FeatureWindow, scores: Scores, context: EngineContext) -> WindowResult:
    """One window for those who look."""
    detection_state, stream = waiting.voice.detection_state, waiting.voice.stream
    assert stream is not None
    return WindowResult(
        source=waiting.voice.listening.source.info.name,
        end_unix_ns=stream.at_unix_ns(scores.end_sample),
        labels=scores.labels,
        values=scores.values,
        level_dbfs=heard.level_dbfs,
        delay_ns=max(0, time.monotonic_ns() - waiting.since_ns),
        windows=detection_state.windows,
        heard_s=stream.seconds(scores.end_sample - detection_state.lost_samples),
        lost_s=stream.seconds(detection_state.lost_samples),
        features=heard.features if context.live.features_wanted else None,
    )


def _stats_due(voice: EngineSource, context: EngineContext) -> list[StreamSummary]:
    """What the stream has come to, if it is time to say so."""
    if context.stats_s is None:
        return []
    period = round(context.stats_s * context.classifier.contract.features.rate_hz)
    due = voice.stats_sample or period
    reached = voice.truth.summary.end_sample
    voice.stats_sample = due if reached < due else (reached // period + 1) * period
    return [] if reached < due else [voice.truth.summary]


def _news(voice: EngineSource, news: SourceNotice, end_sample: int, context: EngineContext) -> list[Line]:
    """Take note of what has become of a source, and make a line of it where there is something new."""
    written_unix_ns, name = context.clock.written_unix_ns(time.time_ns()), voice.listening.source.info.name
    match news:
        case SourceStateChange(state="back" | "resumed"):
            voice.truth = replace(voice.truth, state="heard")
        case SourceStateChange(state="waiting" | "lost" | "paused" as state):
            losses = voice.truth.losses + (state == "lost")
            voice.truth = replace(voice.truth, state=state, losses=losses, quality=None)
        case AudioQuality():
            voice.truth = replace(voice.truth, quality=news)
            return [quality_line(news, context.node, name, written_unix_ns)] if news.changed else []
        case ClockCorrection():
            assert voice.stream is not None  # it is found by a block that is not the first
            voice.truth = replace(voice.truth, shifted_ns=voice.truth.shifted_ns + news.shift_ns)
            voice.stream = voice.stream.moved(end_sample + 1, news.start_unix_ns)  # that one may have been told of
            return [anchor_line(news, context.node, name, written_unix_ns)]
    return [source_health_line(news, context.node, name, written_unix_ns)]
