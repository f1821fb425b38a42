"""Lines of the type `health`: of sources, of the machine and of the program; a part of `events/schema.py`.

Conventions: as in `events/schema.py`.
Does not: make lines (`events/notices.py`).
"""

from __future__ import annotations

from typing import Literal

from soundwatch.daemon.core.records.source import (
    AudioFault,
    ClockCorrectionReason,
    SourceTransition,
    SourceTransitionReason,
)
from soundwatch.daemon.core.records.stream import OverloadState
from soundwatch.daemon.events.line_head import NumberedLine


class HealthLine(NumberedLine, frozen=True, kw_only=True):
    """Fields of every line of this type, before its own."""

    type: Literal["health"] = "health"


class OverloadLine(HealthLine, frozen=True, kw_only=True):
    """Start or end of overload; `source` is null, since overload concerns all sources."""

    source: None = None
    state: OverloadState
    reason: Literal["overload"] = "overload"
    hop_s: float
    behind_ms: int
    dropped_windows: int


class SourceHealthLine(HealthLine, frozen=True, kw_only=True):
    """Change of a source's state; `away_s` is the length of its absence when the line is written."""

    source: str
    state: SourceTransition
    reason: SourceTransitionReason
    detail: str
    away_s: float
    missed_s: float


class QualityLine(HealthLine, frozen=True, kw_only=True):
    """Audio quality of a source; the measurements are those of the last ten seconds."""

    source: str
    state: Literal["poor", "good"]
    faults: tuple[AudioFault, ...]
    level_dbfs: float | None
    floor_dbfs: float | None
    peak_dbfs: float | None
    dc_offset: float
    clipped_share: float
    same_channels: bool
    measured_hz: float | None
    zeros_ms: int
    waited_ms: int


class AnchorLine(HealthLine, frozen=True, kw_only=True):
    """Correction of a source's later times, since the wall clock was set or the clock of the source drifts."""

    source: str
    state: Literal["reanchored"] = "reanchored"
    reason: ClockCorrectionReason
    shift_ms: int


class JournalHealthLine(HealthLine, frozen=True, kw_only=True):
    """Change of the journal's state; `source` is null, since the journal serves all sources."""

    source: None = None
    state: Literal["failing", "working"]
    reason: Literal["journal"] = "journal"
    detail: str
    dropped_lines: int


class ProviderLine(HealthLine, frozen=True, kw_only=True):
    """Change of the execution provider; `source` is null, since the provider serves all sources."""

    source: None = None
    state: Literal["changed"] = "changed"
    reason: Literal["provider"] = "provider"
    provider: str
    before: str
    detail: str


class ControlLine(HealthLine, frozen=True, kw_only=True):
    """Begin or end of a schedule, a command about one or the thresholds of a source, or the time of a digest."""

    source: str | None = None
    state: Literal["began", "ended", "enabled", "disabled", "changed", "due"]
    reason: Literal["schedule", "threshold_offset", "digest"]
    schedule: str | None
    threshold_offset: float | None
    detail: str


class MuteLine(HealthLine, frozen=True, kw_only=True):
    """Change of the alert rules that schedules mute; `rules` are those that are muted from now on."""

    source: None = None
    state: Literal["muted", "unmuted"]
    reason: Literal["rules"] = "rules"
    rules: tuple[str, ...]
    detail: str


class SinkLine(HealthLine, frozen=True, kw_only=True):
    """Failure of a sink for a minute or longer, or its end; `source` is null, since a sink serves all sources."""

    source: None = None
    state: Literal["failing", "working", "gone"]
    reason: Literal["sink"] = "sink"
    sink: str
    detail: str


class ReloadLine(HealthLine, frozen=True, kw_only=True):
    """Result of a reload; `source` is null, since a configuration concerns all sources."""

    source: None = None
    state: Literal["reloaded", "refused"]
    reason: Literal["configuration"] = "configuration"
    detail: str
    model: str
    shadow: str | None
