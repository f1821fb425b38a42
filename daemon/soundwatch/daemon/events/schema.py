"""The wire format: lines of `soundwatch.event/1`, one JSON object each, flat but for scores by name.

Conventions: UTC with `Z` and milliseconds, from the sample clock; units in key suffixes; a missing value is null, never
NaN; class names are labels of the model. `docs/events.md` explains every key.
Source: the JSON output of rtl_433, and requests of its users.
Does not: make lines (`events/encoder.py`), or number and write them (`journal/journal.py`).
"""

from __future__ import annotations

from typing import Any, Final, Literal, get_args

import msgspec

from soundwatch.daemon.core.records.event import EndReason, EventType
from soundwatch.daemon.core.records.stream import GapReason
from soundwatch.daemon.events.health_schema import (
    AnchorLine,
    ControlLine,
    JournalHealthLine,
    MuteLine,
    OverloadLine,
    ProviderLine,
    QualityLine,
    ReloadLine,
    SinkLine,
    SourceHealthLine,
)
from soundwatch.daemon.events.level_schema import LevelLine, LevelPeriodLine
from soundwatch.daemon.events.line_head import SCHEMA, NumberedLine, UnnumberedLine

LINE_TYPES: Final = ("hello", "start", "update", "end", "clip", "gap", "health", "stats", "differ", "shadow", "level")
UNNUMBERED: Final = 0  # `seq` of a line that no writer has taken yet
ShadowReason = Literal["interval", "ended", "changed", "failed"]
ClipRefusal = Literal["speech", "disk", "queue", "failed"]


class HelloLine(NumberedLine, frozen=True, kw_only=True):
    """First line of a stream: node, source, model and classes; `unused_providers` is left out where it is empty."""

    type: Literal["hello"] = "hello"
    source: str
    stream_start: str
    version: str
    model: str
    provider: str
    classes: tuple[str, ...]
    thresholds: dict[str, float]
    description: str
    source_rate_hz: int
    source_channels: int
    window_s: float
    hop_s: float
    unused_providers: dict[str, str] | msgspec.UnsetType = msgspec.UNSET


class EventLine(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Start, update or end of an event; `continues` is the id of an event that ended by its longest duration."""

    schema: Literal["soundwatch.event/1"] = SCHEMA
    type: EventType
    seq: int
    id: str
    time: str
    node: str
    source: str
    class_: str
    class_id: int
    score: float
    peak_score: float
    level_dbfs: float | None
    onset: str
    offset: str | None
    duration_s: float | None
    reason: EndReason | None
    latency_ms: int
    model: str
    provider: str
    file: str | msgspec.UnsetType = msgspec.UNSET
    continues: str | msgspec.UnsetType = msgspec.UNSET
    also: dict[str, float] | msgspec.UnsetType = msgspec.UNSET
    experimental: Literal[True] | msgspec.UnsetType = msgspec.UNSET
    level_dba: float | msgspec.UnsetType | None = msgspec.UNSET
    peak_level_dba: float | msgspec.UnsetType | None = msgspec.UNSET
    calibrated: bool | msgspec.UnsetType = msgspec.UNSET


class GapLine(NumberedLine, frozen=True, kw_only=True):
    """Sound between `start` and `time` that was lost or not classified."""

    type: Literal["gap"] = "gap"
    source: str
    start: str
    duration_s: float
    reason: GapReason


class ScoresLine(UnnumberedLine, frozen=True, kw_only=True):
    """Scores of one window; the journal never stores this line, so it has no number."""

    type: Literal["scores"] = "scores"
    source: str
    level_dbfs: float | None
    scores: dict[str, float]
    tags: dict[str, float] | msgspec.UnsetType = msgspec.UNSET


class ClipLine(NumberedLine, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Clip of an event; without a file, `file` is null and `reason` gives the cause.

    `picture` is the name of its spectrogram, null where that could not be written; absent where pictures are off.
    """

    type: Literal["clip"] = "clip"
    source: str
    id: str
    class_: str
    file: str | None
    path: str | None
    reason: ClipRefusal | None
    start: str
    duration_s: float
    lost_s: float
    bytes: int | None
    rate_hz: int
    channels: int
    picture: str | msgspec.UnsetType | None = msgspec.UNSET


class ByeLine(UnnumberedLine, frozen=True, kw_only=True):
    """Last line to a reader of a socket; `last_seq` is the number of the last line that the reader got."""

    type: Literal["bye"] = "bye"
    reason: Literal["slow", "too_many_clients", "malformed", "stopped"]
    detail: str
    last_seq: int | None


class StatsLine(NumberedLine, frozen=True, kw_only=True):
    """Totals of a stream so far; with `final`, of the whole stream."""

    type: Literal["stats"] = "stats"
    source: str
    windows: int
    duration_s: float
    lost_s: float
    coverage: float | None
    final: bool


class DifferLine(NumberedLine, frozen=True, kw_only=True, rename={"class_": "class"}):
    """One model begins to detect a class and the other does not."""

    type: Literal["differ"] = "differ"
    source: str
    class_: str
    score: float
    threshold: float | None
    shadow_score: float
    shadow_threshold: float | None
    model: str
    shadow: str


class ShadowLine(NumberedLine, frozen=True, kw_only=True):
    """Comparison of two models on one source since the last line of this type."""

    type: Literal["shadow"] = "shadow"
    source: str
    start: str
    model: str
    shadow: str
    windows: int
    dropped_windows: int
    untold: int
    mean_difference: float | None
    both: dict[str, int]
    only_model: dict[str, int]
    only_shadow: dict[str, int]
    reason: ShadowReason


Line = (
    HelloLine
    | EventLine
    | ClipLine
    | GapLine
    | OverloadLine
    | SourceHealthLine
    | QualityLine
    | AnchorLine
    | JournalHealthLine
    | ProviderLine
    | ReloadLine
    | ControlLine
    | MuteLine
    | SinkLine
    | StatsLine
    | DifferLine
    | ShadowLine
    | LevelPeriodLine
)


def with_seq(line: Line, seq: int) -> Line:
    """Return a line with its number."""
    return msgspec.structs.replace(line, seq=seq)


def json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of every line; it allows unknown keys, since later releases may add some."""
    lines, parts = msgspec.json.schema_components((*get_args(Line), ScoresLine, LevelLine, ByeLine))
    for part in parts.values():
        if "seq" in part["properties"]:
            part["properties"]["repeated"] = {"const": True}  # added on delivery (`journal.entry.JournalEntry`)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:{SCHEMA.replace('/', ':')}",
        "title": "One line of soundwatch",
        "oneOf": list(lines),
        "$defs": parts,
    }
