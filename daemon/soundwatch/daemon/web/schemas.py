"""What the API takes and gives: the OpenAPI document is made of these.

Conventions: as in `events/schema.py`. A query's parts are checked as the configuration is: an unknown one is an error.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from soundwatch.daemon.status.snapshot import SourceState

Text = Annotated[str, Meta(max_length=100)]
Seq = Annotated[int, Meta(ge=0, le=2**53 - 1)]  # as far as JavaScript counts
Moment = Annotated[
    str,
    Meta(
        pattern=r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$",
        extra_json_schema={"format": "date-time"},
    ),
]
EventId = Annotated[str, Meta(pattern="^[0-9A-HJKMNP-TV-Z]{26}$")]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """No query."""


class EventsQuery(Query, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Which events, newest first.

    Attributes:
        class_: Of this class.
        source: Of this source.
        since: Recognised then or later.
        until: Recognised earlier.
        min_score: Whose highest score is at least this.
        text: Whose class, source or label has this in it.
        before: The page after the one whose `next` this is.
        limit: How many.
    """

    class_: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    min_score: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    text: Text | UnsetType = UNSET
    before: Seq | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class LinesQuery(Query, frozen=True, kw_only=True):
    """Which lines, oldest first.

    Attributes:
        since: Those after this number.
        limit: How many at most.
    """

    since: Seq = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class CountsQuery(Query, frozen=True, kw_only=True):
    """Events of when.

    Attributes:
        since: Recognised then or later.
        until: Recognised earlier.
        source: Of this source.
    """

    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    source: Text | UnsetType = UNSET


class LabelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """What a person says an event was.

    Attributes:
        right: Whether it was what it was taken for.
        class_: What it was instead; null for none of the classes.
    """

    right: bool
    class_: Text | None = None


class ErrorResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Why not, as a sentence."""

    error: str


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """An event's sound; where it was not kept, `reason` says why."""

    url: str | None
    reason: str | None
    duration_s: float | None
    bytes: int | None


class Label(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """What a person said an event was; no class is none of them."""

    right: bool
    class_: str | None
    time: str


class EventResponse(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """An event, as its last line has it; `seq` is its first line's."""

    id: str
    seq: int
    time: str
    source: str
    class_: str
    active: bool
    score: float
    peak_score: float
    level_dbfs: float | None
    onset: str
    offset: str | None
    duration_s: float | None
    reason: str | None
    latency_ms: int
    model: str
    provider: str
    clip: Clip | None
    label: Label | None


class EventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events; `next` is the next one's `before`, null where there is none."""

    events: tuple[EventResponse, ...]
    next: int | None


class LinesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Lines as `soundwatch schema` describes them, and the last number there is."""

    lines: tuple[msgspec.Raw, ...]
    last_seq: int


class Count(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """How many events of a class there were in the quarter of an hour from `time` on."""

    class_: str
    time: str
    events: int


class CountsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Quarters of an hour, so that every time zone can make its hours of them."""

    counts: tuple[Count, ...]


class ReadingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A source's last window, what it sounded like, and what the stream has come to."""

    time: str
    level_dbfs: float | None
    scores: dict[str, float]
    windows: int
    delay_ms: float
    heard_s: float
    lost_s: float
    coverage: float | None


class SourceResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A source: whether it is heard, what is wrong with it, and its last window; none before the first."""

    name: str
    hearing: SourceState
    since: str | None
    detail: str
    description: str | None
    rate_hz: int | None
    channels: int | None
    stream_start: str | None
    faults: tuple[str, ...]
    active: tuple[str, ...]
    events: dict[str, int]
    gaps: int
    last: ReadingResponse | None


class SourcesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All sources."""

    sources: tuple[SourceResponse, ...]


class SwitchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """What was asked for; it is so once a `health` line says so."""

    source: str
    listen: bool


class ClassResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A class and the score from which a window counts; null where it is not listened for."""

    name: str
    threshold: float | None


class ClassesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The model's classes, in its order."""

    classes: tuple[ClassResponse, ...]


class SinkResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How a sink does."""

    name: str
    state: str
    reason: str | None
    since: str
    behind_lines: int
    lost_lines: int


class SinksResponse(msgspec.Struct, frozen=True, kw_only=True):
    """All sinks but this server."""

    sinks: tuple[SinkResponse, ...]


class JournalResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How the journal does."""

    state: Literal["working", "failing", "memory"]
    dropped_lines: int


class OverloadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Whether the machine keeps up with its sources."""

    state: Literal["degraded", "recovered"]
    hop_s: float
    behind_ms: int
    dropped_windows: int


class HealthResponse(msgspec.Struct, frozen=True, kw_only=True):
    """How all goes; `problems` are sentences; `token_wanted` is whether visitors have to know a token."""

    state: Literal["good", "poor"]
    problems: tuple[str, ...]
    node: str
    version: str
    model: str
    provider: str
    started: str
    uptime_s: int
    token_wanted: bool
    last_seq: int
    journal: JournalResponse
    overload: OverloadResponse | None


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The model's contract, and its card as Markdown."""

    identity: str
    provider: str
    contract: dict[str, Any]
    card: str | None


class ConfigResponse(msgspec.Struct, frozen=True, kw_only=True):
    """The configuration in force, its secrets hidden."""

    config: dict[str, Any]
