"""Records of the API's requests and responses. The OpenAPI document is generated from them.

Conventions: as in `events/schema.py`. An unknown parameter of a query is an error, as in the configuration.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from soundwatch.daemon.core.records.source import SourceState
from soundwatch.daemon.web.http.parameters import Moment, Query, Seq, Text

ApiSourceState = Literal["opening", "waiting", "running", "lost", "paused", "ended"]


class EventsQuery(Query, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Filter for events.

    Attributes:
        class_: Class of the event.
        source: Source of the event.
        since: Earliest time of detection.
        until: End of the range of times, exclusive.
        min_score: Smallest peak score.
        text: Text in the class, the source or the label.
        clip: Only events with a clip, or only those without one.
        before: `next` of the previous page.
        limit: Largest number of events.
    """

    class_: Text | UnsetType = UNSET
    source: Text | UnsetType = UNSET
    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    min_score: Annotated[float, Meta(ge=0, le=1)] | UnsetType = UNSET
    text: Text | UnsetType = UNSET
    clip: bool | UnsetType = UNSET
    before: Seq | UnsetType = UNSET
    limit: Annotated[int, Meta(ge=1, le=200)] = 50


class LinesQuery(Query, frozen=True, kw_only=True):
    """Range of lines.

    Attributes:
        since: Number of the line before the first one.
        limit: Largest number of lines.
    """

    since: Seq = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 200


class CountsQuery(Query, frozen=True, kw_only=True):
    """Filter for counts of events.

    Attributes:
        since: Earliest time of detection.
        until: End of the range of times, exclusive.
        source: Source of the events.
    """

    since: Moment | UnsetType = UNSET
    until: Moment | UnsetType = UNSET
    source: Text | UnsetType = UNSET


class LabelBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename={"class_": "class"}):
    """Label that a person gives to an event.

    Attributes:
        right: The class of the event is correct.
        class_: Correct class if not; null for none of the classes.
    """

    right: bool
    class_: Text | None = None


class SwitchBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Empty body of a request to pause or resume: a form of another site cannot send JSON."""


class LinesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Lines as `soundwatch schema` describes them, and the number of the journal's last line."""

    lines: tuple[msgspec.Raw, ...]
    last_seq: int


class Count(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Number of events of a class in the quarter of an hour that begins at `time`."""

    class_: str
    time: str
    events: int


class CountsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Counts by quarter of an hour, so that they can be summed to hours of every time zone."""

    counts: tuple[Count, ...]


class ReadingResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Last window of a source, and totals of its stream; `tags` only with a model that has some."""

    time: str
    level_dbfs: float | None
    scores: dict[str, float]
    windows: int
    delay_ms: float
    heard_s: float
    lost_s: float
    coverage: float | None
    tags: dict[str, float] | UnsetType = UNSET


class SourceResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of a source, its faults, and its last window; `last` is null before the first window.

    `listen`: this client may listen to the source; `listeners`: number of clients that do.
    `hearing` is the former name of `state`, with `heard` for `running`; the next version removes it.
    """

    name: str
    state: ApiSourceState
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
    listen: bool
    listeners: int
    last: ReadingResponse | None


class SourcesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of all sources."""

    sources: tuple[SourceResponse, ...]


class SwitchResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Accepted request to pause or resume; a `health` line confirms the change."""

    source: str
    listen: bool


class ClassResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A class and its threshold; null for a disabled class."""

    name: str
    threshold: float | None


class ClassesResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Classes of the model, in its order."""

    classes: tuple[ClassResponse, ...]


class SinkResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of a sink."""

    name: str
    state: str
    reason: str | None
    since: str
    behind_lines: int
    lost_lines: int
    skipped_lines: int


class SinksResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of all sinks except this server."""

    sinks: tuple[SinkResponse, ...]


class JournalResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Status of the journal."""

    state: Literal["working", "failing", "memory"]
    dropped_lines: int


class OverloadResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Load of the machine."""

    state: Literal["degraded", "recovered"]
    hop_s: float
    behind_ms: int
    dropped_windows: int


class HealthResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Health of the daemon.

    `problems` are sentences. `uncalibrated` names the microphones whose thresholds are the model's; the command
    `calibrate` sets those of the first one for its place. `boot` changes with each start of the program.
    `token_wanted`: clients need a token.
    """

    state: Literal["good", "poor"]
    problems: tuple[str, ...]
    uncalibrated: tuple[str, ...]
    calibrate: str
    node: str
    version: str
    model: str
    provider: str
    started: str
    boot: str
    uptime_s: int
    token_wanted: bool
    last_seq: int
    journal: JournalResponse
    overload: OverloadResponse | None


class ModelResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Contract of the model, and its card as Markdown."""

    identity: str
    provider: str
    contract: dict[str, Any]
    card: str | None


class ConfigResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Configuration in force, without secrets."""

    config: dict[str, Any]
