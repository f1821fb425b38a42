"""Make the lines whose times come from the wall clock: of a source's state, quality and clock, and of the machine.

Conventions: as in `events/schema.py`. A new line has no number yet.
Does not: make lines of a stream (`events/encoder.py`), or number or write lines (`journal/journal.py`).
"""

from __future__ import annotations

import math
from datetime import datetime

import msgspec

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.core.records.source import AudioQuality, ClockCorrection, SourceStateChange
from soundwatch.daemon.core.records.stream import OverloadChange
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.encoder import round_down
from soundwatch.daemon.events.health_schema import AnchorLine, OverloadLine, ProviderLine, QualityLine, SourceHealthLine
from soundwatch.daemon.events.schema import UNNUMBERED, EventLine, ScoresLine


def overload_line(health: OverloadChange, node: str, written_unix_ns: int, rate_hz: int) -> OverloadLine:
    """Return the line of a change of overload; `rate_hz` is the rate of the model."""
    return OverloadLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        state=health.state,
        hop_s=round(health.hop_samples / rate_hz, 3),
        behind_ms=health.behind_ns // 1_000_000,
        dropped_windows=health.dropped_windows,
    )


def provider_line(provider: str, before: str, detail: str, node: str, written_unix_ns: int) -> ProviderLine:
    """Return the line of a change of the execution provider."""
    return ProviderLine(
        seq=UNNUMBERED, time=format_utc(written_unix_ns), node=node, provider=provider, before=before, detail=detail
    )


def source_health_line(change: SourceStateChange, node: str, source: str, written_unix_ns: int) -> SourceHealthLine:
    """Return the line of a change of a source's state."""
    return SourceHealthLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        source=source,
        state=change.state,
        reason=change.reason,
        detail=change.detail,
        away_s=round(change.away_ns / 1e9, 3),
        missed_s=round(change.missed_ns / 1e9, 3),
    )


def quality_line(quality: AudioQuality, node: str, source: str, written_unix_ns: int) -> QualityLine:
    """Return the line of a source's audio quality."""
    return QualityLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        source=source,
        state="poor" if quality.faults else "good",
        faults=quality.faults,
        level_dbfs=_tenths(quality.level_dbfs),
        floor_dbfs=_tenths(quality.floor_dbfs),
        peak_dbfs=_tenths(20 * math.log10(quality.peak)) if quality.peak > 0 else None,
        dc_offset=round(quality.dc_offset, 4),
        clipped_share=round(quality.clipped_share, 6),
        same_channels=quality.same_channels,
        measured_hz=_tenths(quality.measured_hz),
        zeros_ms=quality.longest_zero_run_ms,
        waited_ms=quality.longest_gap_ms,
    )


def anchor_line(correction: ClockCorrection, node: str, source: str, written_unix_ns: int) -> AnchorLine:
    """Return the line of a correction of a source's times."""
    return AnchorLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        source=source,
        reason=correction.reason,
        shift_ms=round(correction.shift_ns / 1_000_000),
    )


def scores_line(result: WindowResult, node: str) -> ScoresLine:
    """Return the line of one window's scores."""
    return ScoresLine(
        time=format_utc(result.end_unix_ns),
        node=node,
        source=result.source,
        level_dbfs=_tenths(result.level_dbfs),
        scores=dict(zip(result.labels, map(round_down, result.values.tolist()), strict=True)),
        tags=dict(zip(result.tags, map(round_down, result.tag_values.tolist()), strict=True)) or msgspec.UNSET,
    )


def interrupted_line(last: bytes, written_unix_ns: int) -> EventLine:
    """Return the end of an event that a killed program left open; its offset is the time of its last line.

    Raises:
        msgspec.DecodeError: The line is no line of an event.
        ValueError: A time of the line cannot be read.
    """
    event = msgspec.json.decode(last, type=EventLine)
    lasted_s = (datetime.fromisoformat(event.time) - datetime.fromisoformat(event.onset)).total_seconds()
    return msgspec.structs.replace(
        event,
        type="end",
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        offset=event.time,
        duration_s=round(max(0.0, lasted_s), 3),
        reason="interrupted",
    )


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)
