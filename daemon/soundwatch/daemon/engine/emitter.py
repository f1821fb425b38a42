"""Detection and lines for the items of the inference queue.

Conventions: as in `engine.py`. The journal numbers the lines.
Does not: run the model (`threads.py`) or append lines (`engine.py`).
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

from soundwatch.daemon.core.records.event import EndReason, Event
from soundwatch.daemon.core.records.scores import Scores
from soundwatch.daemon.core.records.source import AudioQuality, ClockCorrection, SourceNotice, SourceStateChange
from soundwatch.daemon.core.records.stream import Gap, StreamSummary
from soundwatch.daemon.core.records.window import FeatureWindow
from soundwatch.daemon.engine.context import EngineContext
from soundwatch.daemon.engine.source_state import EngineSource, ModelSwap, PendingItem
from soundwatch.daemon.events.encoder import MAX_AHEAD_NS
from soundwatch.daemon.events.notices import anchor_line, quality_line, source_health_line
from soundwatch.daemon.events.schema import Line
from soundwatch.daemon.pipeline.pipeline import detect_events, end_events, finish_stream


def emit_lines(item: PendingItem, scores: Iterator[Scores]) -> list[Line]:
    """Run detection for one queued item and return its lines.

    Args:
        item: The item; its source's state is updated.
        scores: Scores of the batch's remaining windows; one is taken if the item is a window.
    """
    context, source, content = item.context, item.source, item.content
    detected = _detect(item, scores)
    results = [*_level_events(item), *detected]
    if source.clip_tap is not None and source.encoder is not None:
        decided_sample = content.features.end_sample if isinstance(content, FeatureWindow) else item.end_sample
        ended = _end_reason(item) is not None
        source.clip_tap.add_events(source.name, source.encoder, results, decided_sample, final=ended)
    lines: list[Line] = []
    if results:
        assert source.encoder is not None
        source.encoder = source.encoder.with_provider(context.classifier.provider)
        lines = [context.line(source.encoder, result) for result in results]
    if isinstance(content, ModelSwap) and source.encoder is not None:
        source.encoder = content.context.rebind(source.encoder)
        lines.append(source.encoder.hello())
    if isinstance(content, SourceStateChange | AudioQuality | ClockCorrection):
        lines += _notice_lines(source, content, item.end_sample, context)
    context.live.source_stats[source.name] = source.stats
    return lines


def _detect(item: PendingItem, scores: Iterator[Scores]) -> Sequence[Event | Gap | StreamSummary]:
    """Update detection by one item and return its events, gaps and summaries."""
    context, source, content = item.context, item.source, item.content
    labels = context.classifier.contract.labels
    events: Sequence[Event | Gap | StreamSummary] = ()
    if isinstance(content, FeatureWindow):
        return _detect_window(item, content, next(scores))
    if isinstance(content, Gap):
        source.detection_state, events = detect_events(
            source.detection_state, [content], [], context.rules_for(source.name), context.classifier.contract.features
        )
        return [*events, *_update_summary(source, context)]
    reason = _end_reason(item)
    if content is None:
        events = finish_stream(source.detection_state, item.end_sample, labels, source.session.end_reason())
        if context.shadow is not None and source.encoder is not None:
            context.shadow.end_stream(source.encoder, item.end_sample)
    elif reason is not None:
        rules = (content.context if isinstance(content, ModelSwap) else context).rules_for(source.name)
        source.detection_state, events = end_events(source.detection_state, item.end_sample, rules, labels, reason)
    return events


def _end_reason(item: PendingItem) -> EndReason | None:
    """Return the reason for which an item ends all events of its source; None if it ends none."""
    match item.content:
        case None:
            return item.source.session.end_reason()
        case SourceStateChange(state="paused"):
            return "paused"
        case SourceStateChange(state="lost"):
            return "source_lost"
        case ModelSwap():
            return "model_changed"
    return "clock_set" if _needs_new_stream(item) else None


def _level_events(item: PendingItem) -> list[Event]:
    """Return the events of the sound level up to an item, with the tags of the latest window."""
    source, content = item.source, item.content
    if source.level_tap is None or source.encoder is None:
        return []
    if content is None:
        source.level_tap.add_block(source.name, source.encoder, None)
    until_sample = content.features.end_sample if isinstance(content, FeatureWindow) else item.end_sample
    tags = item.context.live.latest_tags(source.name)
    return source.level_tap.take_events(source.name, until_sample, _end_reason(item), tags)


def _needs_new_stream(item: PendingItem) -> bool:
    """Return True if the clock was set back so far that the stream has to begin again."""
    notice, encoder = item.content, item.source.encoder
    if not isinstance(notice, ClockCorrection) or encoder is None:
        return False
    return encoder.ahead_ns(item.end_sample + 1, notice.start_unix_ns) > MAX_AHEAD_NS


def _detect_window(item: PendingItem, window: FeatureWindow, scores: Scores) -> Sequence[Event | Gap | StreamSummary]:
    """Update detection by one window, and pass the window to the live feed and the shadow model."""
    context, source = item.context, item.source
    source.detection_state, events = detect_events(
        source.detection_state, [window], [scores], context.rules_for(source.name), context.classifier.contract.features
    )
    state, encoder, features = source.detection_state, source.encoder, context.live.features_wanted
    assert encoder is not None
    delay_ns = max(0, time.monotonic_ns() - item.since_ns)
    result = encoder.window_result(window, scores, state.windows, state.lost_samples, delay_ns, features=features)
    context.live.publish(result)
    if context.shadow is not None:
        context.shadow.submit(encoder, window.features, scores)
    return [*events, *_update_summary(source, context)]


def _update_summary(source: EngineSource, context: EngineContext) -> list[StreamSummary]:
    """Update the summary in a source's statistics, and return the summary if a stats line is due."""
    state = source.detection_state
    summary = StreamSummary(state.windows, state.end_sample, state.lost_samples, final=False)
    source.stats = replace(source.stats, summary=summary)
    if context.stats_s is None:
        return []
    period = round(context.stats_s * context.classifier.contract.features.rate_hz)
    due = source.stats_sample or period
    source.stats_sample = due if state.end_sample < due else (state.end_sample // period + 1) * period
    return [] if state.end_sample < due else [summary]


def _notice_lines(source: EngineSource, notice: SourceNotice, end_sample: int, context: EngineContext) -> list[Line]:
    """Update a source's statistics by a notice, and return the notice's line; none if its quality has not changed."""
    written_unix_ns, name = context.clock.written_unix_ns(time.time_ns()), source.name
    match notice:
        case SourceStateChange(state="waiting" | "lost" | "paused" as state):
            source.stats = replace(source.stats, losses=source.stats.losses + (state == "lost"), quality=None)
        case AudioQuality():
            source.stats = replace(source.stats, quality=notice)
            return [quality_line(notice, context.node, name, written_unix_ns)] if notice.changed else []
        case ClockCorrection():
            assert source.encoder is not None  # a block that is not the first finds it
            source.stats = replace(source.stats, shifted_ns=source.stats.shifted_ns + notice.shift_ns)
            line, next_sample = anchor_line(notice, context.node, name, written_unix_ns), end_sample + 1
            if source.encoder.ahead_ns(next_sample, notice.start_unix_ns) > MAX_AHEAD_NS:
                source.encoder = source.encoder.restarted(notice.start_unix_ns)
                return [line, source.encoder.hello()]
            # the line at `end_sample` may be written already, so the anchor holds from the next sample
            source.encoder = source.encoder.with_anchor(next_sample, notice.start_unix_ns)
            return [line]
    return [source_health_line(notice, context.node, name, written_unix_ns)]
