"""Records of events in the API's responses.

Conventions: as in `schemas.py`.
"""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import UNSET, UnsetType


class Clip(msgspec.Struct, frozen=True, kw_only=True):
    """Sound of an event, and its spectrogram; `reason` is the reason for a missing clip."""

    url: str | None
    picture_url: str | None
    reason: str | None
    duration_s: float | None
    bytes: int | None


class Label(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """Label of an event; `class` is null for none of the classes."""

    right: bool
    class_: str | None
    time: str


class EventResponse(msgspec.Struct, frozen=True, kw_only=True, rename={"class_": "class"}):
    """An event from its last line; `seq` and `level_dbfs` are those of its first line, as in tables.

    `peak_level_dbfs` is the highest `level_dbfs` of its lines; null for digital silence. The A-weighted levels are
    those of its last line, where the sound level meter is on.
    """

    id: str
    seq: int
    time: str
    source: str
    class_: str
    active: bool
    score: float
    peak_score: float
    level_dbfs: float | None
    peak_level_dbfs: float | None
    onset: str
    offset: str | None
    duration_s: float | None
    reason: str | None
    latency_ms: int
    model: str
    provider: str
    clip: Clip | None
    label: Label | None
    also: dict[str, float] | UnsetType = UNSET
    experimental: Literal[True] | UnsetType = UNSET
    level_dba: float | UnsetType | None = UNSET
    peak_level_dba: float | UnsetType | None = UNSET
    calibrated: bool | UnsetType = UNSET


class EventsResponse(msgspec.Struct, frozen=True, kw_only=True):
    """A page of events; `next` is the `before` of the next page, null on the last page."""

    events: tuple[EventResponse, ...]
    next: int | None
