"""Make lines of events, gaps, notices and summaries.

Conventions: as in `events/schema.py`. Times come from the sample clock: UTC of sample 0, and later corrections
(`events/timeline.py`). A new line has no number yet.
Does not: number or write the lines (`journal/journal.py`).
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.contract import ModelContract
from soundwatch.daemon.core.source import AudioQuality, ClockCorrection, SourceInfo, SourceStateChange
from soundwatch.daemon.core.types import Clock, Event, Gap, OverloadChange, StreamSummary, WindowResult
from soundwatch.daemon.events.schema import (
    UNNUMBERED,
    AnchorLine,
    EventLine,
    GapLine,
    HelloLine,
    Line,
    OverloadLine,
    ProviderLine,
    QualityLine,
    ScoresLine,
    SourceHealthLine,
    StatsLine,
)
from soundwatch.daemon.events.timeline import Anchor, add_anchor, sample_unix_ns

_CROCKFORD: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


@dataclass(frozen=True, slots=True)
class LineEncoder:
    """Encoder of the lines of one source.

    Attributes:
        node: Name of this machine.
        source: Properties of the source.
        start_unix_ns: UTC of sample 0.
        contract: Contract of the model.
        provider: Execution provider of the model.
        thresholds: Threshold of each active class.
        clock: Gives the time at which a line is written.
        anchors: Corrections of the times, oldest first.
        file: Path that event lines name; None for none.
    """

    node: str
    source: SourceInfo
    start_unix_ns: int
    contract: ModelContract
    provider: str
    thresholds: dict[str, float]
    clock: Clock
    anchors: tuple[Anchor, ...] = ()
    file: str | None = None

    def at_unix_ns(self, sample: int) -> int:
        """Return UTC of a sample at the rate of the model."""
        return sample_unix_ns(sample, self.contract.features.rate_hz, self.start_unix_ns, self.anchors)

    def with_anchor(self, from_sample: int, start_unix_ns: int) -> LineEncoder:
        """Return an encoder with another UTC of sample 0, which holds from a sample on."""
        rate_hz = self.contract.features.rate_hz
        return replace(self, anchors=add_anchor(self.anchors, from_sample, rate_hz, self.start_unix_ns, start_unix_ns))

    def restarted(self, start_unix_ns: int) -> LineEncoder:
        """Return the encoder of a new stream with another UTC of sample 0."""
        return replace(self, start_unix_ns=start_unix_ns, anchors=())

    def ahead_ns(self, sample: int, start_unix_ns: int) -> int:
        """Return how far the time of a sample is ahead of a clock that gives another UTC of sample 0."""
        return self.at_unix_ns(sample) - sample_unix_ns(sample, self.contract.features.rate_hz, start_unix_ns, ())

    def format_time(self, sample: int) -> str:
        """Format UTC of a sample."""
        return format_utc(self.at_unix_ns(sample))

    def seconds(self, samples: int) -> float:
        """Convert a number of samples to seconds, rounded to milliseconds."""
        return round(samples / self.contract.features.rate_hz, 3)

    def hello(self) -> HelloLine:
        """Return the first line of a stream."""
        spec = self.contract.features
        return HelloLine(
            seq=UNNUMBERED,
            time=self.format_time(0),
            node=self.node,
            source=self.source.name,
            stream_start=self.format_time(0),
            version=__version__,
            model=self.contract.identity,
            provider=self.provider,
            classes=self.contract.labels,
            thresholds=self.thresholds,
            description=self.source.description,
            source_rate_hz=self.source.rate_hz,
            source_channels=self.source.channels,
            window_s=self.seconds(spec.window_samples),
            hop_s=self.seconds(spec.window_hop_samples),
        )

    def line(self, result: Event | Gap | StreamSummary) -> Line:
        """Return the line of a result of the detection."""
        match result:
            case Event():
                return self._event(result)
            case Gap():
                return GapLine(
                    seq=UNNUMBERED,
                    time=self.format_time(result.first_sample + result.lost_samples),
                    node=self.node,
                    source=self.source.name,
                    start=self.format_time(result.first_sample),
                    duration_s=self.seconds(result.lost_samples),
                    reason=result.reason,
                )
            case StreamSummary():
                return StatsLine(
                    seq=UNNUMBERED,
                    time=self.format_time(result.end_sample),
                    node=self.node,
                    source=self.source.name,
                    windows=result.windows,
                    duration_s=self.seconds(result.end_sample),
                    lost_s=self.seconds(result.lost_samples),
                    coverage=None if result.coverage is None else round(result.coverage, 6),
                    final=result.final,
                )

    def _event(self, event: Event) -> EventLine:
        written_unix_ns = self.clock.written_unix_ns(self.at_unix_ns(event.decision_sample))
        start_unix_ns = self.anchors[-1].start_unix_ns if self.anchors else self.start_unix_ns
        onset_unix_ns = sample_unix_ns(event.onset_sample, self.contract.features.rate_hz, start_unix_ns, ())
        ended, continued = event.offset_sample, event.continues_sample
        return EventLine(
            type=event.type,
            seq=UNNUMBERED,
            id=self.event_id(event),
            time=self.format_time(event.decision_sample),
            node=self.node,
            source=self.source.name,
            class_=event.label,
            class_id=event.class_id,
            score=round_down(event.score),
            peak_score=round_down(event.peak_score),
            level_dbfs=None if event.level_dbfs is None else round(event.level_dbfs, 1),
            onset=self.format_time(event.onset_sample),
            offset=None if ended is None else self.format_time(ended),
            duration_s=None if ended is None else self.seconds(ended - event.onset_sample),
            reason=event.reason,
            latency_ms=max(0, (written_unix_ns - onset_unix_ns) // 1_000_000),
            model=self.contract.identity,
            provider=self.provider,
            file=msgspec.UNSET if self.file is None else self.file,
            continues=msgspec.UNSET if continued is None else self._id(event.label, continued),
        )

    def event_id(self, event: Event) -> str:
        """Return the id of an event: a ULID of its properties, so every replay of a recording gives the same id."""
        return self._id(event.label, event.onset_sample)

    def _id(self, label: str, onset_sample: int) -> str:
        key = f"{self.node}\n{self.source.name}\n{self.start_unix_ns}\n{label}\n{onset_sample}"
        return ulid(self.at_unix_ns(onset_sample) // 1_000_000, hashlib.sha256(key.encode()).digest()[:10])


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
    )


def interrupted_line(last: bytes, written_unix_ns: int) -> EventLine:
    """Return the end of an event that a killed program left open; its offset is the time of its last line."""
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


def ulid(unix_ms: int, suffix: bytes) -> str:
    """Return a ULID (github.com/ulid/spec) of a time and ten bytes: 128 bits as 26 characters of five bits."""
    number = unix_ms << 80 | int.from_bytes(suffix, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def round_down(value: float) -> float:
    """Round down to four digits: a printed score is never higher than the score of the decision."""
    return math.floor(value * 10_000) / 10_000
