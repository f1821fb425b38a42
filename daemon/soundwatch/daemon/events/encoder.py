"""From sample numbers to the lines that other programs read.

Conventions: as in `events/schema.py`, which has the lines. Times come from the sample clock, counted from UTC of sample
0, and from where that was moved (`events/timeline.py`).
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
    """What turns one source's sample numbers into lines.

    Attributes:
        node: Name of this machine.
        source: What is listened to.
        start_unix_ns: UTC of sample 0.
        contract: Of the model that listens.
        provider: What runs it.
        thresholds: In force here, per class that is listened for.
        clock: Tells when a line is written.
        anchors: Where times were moved since.
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
        """UTC of a sample at the model's rate."""
        return sample_unix_ns(sample, self.contract.features.rate_hz, self.start_unix_ns, self.anchors)

    def moved(self, from_sample: int, start_unix_ns: int) -> LineEncoder:
        """The same, where from a sample on times count from another UTC of sample 0."""
        rate_hz = self.contract.features.rate_hz
        return replace(self, anchors=add_anchor(self.anchors, from_sample, rate_hz, self.start_unix_ns, start_unix_ns))

    def utc(self, sample: int) -> str:
        """The same as text: `2026-11-22T08:15:02.418Z`."""
        return format_utc(self.at_unix_ns(sample))

    def seconds(self, samples: int) -> float:
        """A length at the model's rate, to the millisecond."""
        return round(samples / self.contract.features.rate_hz, 3)

    def hello(self) -> HelloLine:
        """The first line."""
        spec = self.contract.features
        return HelloLine(
            seq=UNNUMBERED,
            time=self.utc(0),
            node=self.node,
            source=self.source.name,
            stream_start=self.utc(0),
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

    def line(self, told: Event | Gap | StreamSummary) -> Line:
        """What the pipeline told, as a line."""
        match told:
            case Event():
                return self._event(told)
            case Gap():
                return GapLine(
                    seq=UNNUMBERED,
                    time=self.utc(told.first_sample + told.lost_samples),
                    node=self.node,
                    source=self.source.name,
                    start=self.utc(told.first_sample),
                    duration_s=self.seconds(told.lost_samples),
                    reason=told.reason,
                )
            case StreamSummary():
                return StatsLine(
                    seq=UNNUMBERED,
                    time=self.utc(told.end_sample),
                    node=self.node,
                    source=self.source.name,
                    windows=told.windows,
                    duration_s=self.seconds(told.end_sample),
                    lost_s=self.seconds(told.lost_samples),
                    coverage=None if told.coverage is None else round(told.coverage, 6),
                    final=told.final,
                )

    def _event(self, event: Event) -> EventLine:
        written_unix_ns = self.clock.written_unix_ns(self.at_unix_ns(event.decision_sample))
        start_unix_ns = self.anchors[-1].start_unix_ns if self.anchors else self.start_unix_ns
        onset_unix_ns = sample_unix_ns(event.onset_sample, self.contract.features.rate_hz, start_unix_ns, ())
        ended = event.offset_sample
        return EventLine(
            type=event.type,
            seq=UNNUMBERED,
            id=self.event_id(event),
            time=self.utc(event.decision_sample),
            node=self.node,
            source=self.source.name,
            class_=event.label,
            class_id=event.class_id,
            score=round_down(event.score),
            peak_score=round_down(event.peak_score),
            level_dbfs=None if event.level_dbfs is None else round(event.level_dbfs, 1),
            onset=self.utc(event.onset_sample),
            offset=None if ended is None else self.utc(ended),
            duration_s=None if ended is None else self.seconds(ended - event.onset_sample),
            reason=event.reason,
            latency_ms=max(0, (written_unix_ns - onset_unix_ns) // 1_000_000),
            model=self.contract.identity,
            provider=self.provider,
            file=msgspec.UNSET if self.file is None else self.file,
        )

    def event_id(self, event: Event) -> str:
        """A ULID made of what the event is, so that replaying a recording names it alike."""
        onset_unix_ns = self.at_unix_ns(event.onset_sample)
        what = f"{self.node}\n{self.source.name}\n{self.start_unix_ns}\n{event.label}\n{event.onset_sample}"
        drawn = hashlib.sha256(what.encode()).digest()[:10]
        return ulid(onset_unix_ns // 1_000_000, drawn)


def overload_line(health: OverloadChange, node: str, written_unix_ns: int, rate_hz: int) -> OverloadLine:
    """A change in the machine's health as a line; `rate_hz` is the model's."""
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
    """That something else runs the model now, as a line."""
    return ProviderLine(
        seq=UNNUMBERED, time=format_utc(written_unix_ns), node=node, provider=provider, before=before, detail=detail
    )


def source_health_line(plight: SourceStateChange, node: str, source: str, written_unix_ns: int) -> SourceHealthLine:
    """What has become of a source, as a line."""
    return SourceHealthLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        source=source,
        state=plight.state,
        reason=plight.reason,
        detail=plight.detail,
        away_s=round(plight.away_ns / 1e9, 3),
        missed_s=round(plight.missed_ns / 1e9, 3),
    )


def quality_line(quality: AudioQuality, node: str, source: str, written_unix_ns: int) -> QualityLine:
    """What a source's sound is like, as a line."""
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


def anchor_line(moved: ClockCorrection, node: str, source: str, written_unix_ns: int) -> AnchorLine:
    """That a source's times are moved, as a line."""
    return AnchorLine(
        seq=UNNUMBERED,
        time=format_utc(written_unix_ns),
        node=node,
        source=source,
        reason=moved.reason,
        shift_ms=round(moved.shift_ns / 1_000_000),
    )


def scores_line(reading: WindowResult, node: str) -> ScoresLine:
    """What one window sounded like, as a line."""
    return ScoresLine(
        time=format_utc(reading.end_unix_ns),
        node=node,
        source=reading.source,
        level_dbfs=_tenths(reading.level_dbfs),
        scores=dict(zip(reading.labels, map(round_down, reading.values.tolist()), strict=True)),
    )


def interrupted_line(last: bytes, written_unix_ns: int) -> EventLine:
    """The end of an event that a killed program left open: it was heard until its last line, as far as is known."""
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


def ulid(unix_ms: int, drawn: bytes) -> str:
    """A ULID (github.com/ulid/spec) of a time and ten bytes: 128 bits, five to each of Crockford's 26 letters."""
    number = unix_ms << 80 | int.from_bytes(drawn, "big")
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def _tenths(value: float | None) -> float | None:
    return None if value is None else round(value, 1)


def round_down(value: float) -> float:
    """Four digits, rounded down: a score never reads higher than what was decided on."""
    return math.floor(value * 10_000) / 10_000
