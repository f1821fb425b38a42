"""Event queries on the journal file: one record per event, from its last line, with its clip and its label.

Conventions: an event has the number and time of its `start` line, so that pages of results stay stable while events
are active. An event whose `start` line the journal has deleted is not found.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType

from soundwatch.daemon.core.files.clip_files import clip_picture_path
from soundwatch.daemon.core.records.copy_fields import copy_fields
from soundwatch.daemon.core.time.clock import SECOND_NS, format_datetime, format_utc
from soundwatch.daemon.events.schema import EventLine
from soundwatch.daemon.journal.queries.events import (
    QUARTER_S,
    StoredEvent,
    count_starts,
    find_event_row,
    find_event_rows,
    last_clip_line,
)
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.web.api.event_schemas import Clip, EventResponse, EventsResponse, Label
from soundwatch.daemon.web.api.schemas import (
    Count,
    CountsQuery,
    CountsResponse,
    EventsQuery,
)
from soundwatch.daemon.web.http.query_params import TIME_FORMAT
from soundwatch.daemon.web.http.refusal import RequestRefused


class ClipLine(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a `clip` line that the API uses."""

    file: str | None = None
    path: str | None = None
    reason: str | None = None
    duration_s: float | None = None
    bytes: int | None = None
    picture: str | None = None


def find_events(store: JournalStore, query: EventsQuery, folder: Path | None) -> EventsResponse:
    """Return one page of events, newest first; pictures that were drawn later are looked for in a folder of clips."""
    wanted: dict[str, Any] = {
        "before_seq": query.before,
        "class": query.class_,
        "source": query.source,
        "since": format_time(query.since),
        "until": format_time(query.until),
        "min_peak_score": query.min_score,
        "has_clip": query.clip,
        "text": query.text if isinstance(query.text, UnsetType) else query.text.lower(),
    }
    found = find_event_rows(store, given(wanted), query.limit + 1)
    page = found[: query.limit]
    return EventsResponse(
        events=tuple(_event(row, folder) for row in page), next=page[-1].seq if len(found) > query.limit else None
    )


def find_event(store: JournalStore, event_id: str, folder: Path | None = None) -> EventResponse | None:
    """Return the event of an id; None if there is none. A picture is looked for as by `find_events`."""
    row = find_event_row(store, event_id)
    return None if row is None else _event(row, folder)


def last_clip(store: JournalStore, event_id: str) -> ClipLine | None:
    """Return the last `clip` line of an event; None if there is none."""
    line = last_clip_line(store, event_id)
    return None if line is None else msgspec.json.decode(line, type=ClipLine)


def count_events(store: JournalStore, query: CountsQuery) -> CountsResponse:
    """Count the events of each class in each quarter of an hour."""
    wanted = {"since": format_time(query.since), "until": format_time(query.until), "source": query.source}
    return CountsResponse(
        counts=tuple(
            Count(class_=class_, time=format_utc(quarter * QUARTER_S * SECOND_NS), events=events)
            for class_, quarter, events in count_starts(store, given(wanted))
        )
    )


def given(wanted: dict[str, Any]) -> dict[str, Any]:
    """Return the conditions that a query sets."""
    return {name: value for name, value in wanted.items() if value is not UNSET}


def _event(row: StoredEvent, folder: Path | None) -> EventResponse:
    line = msgspec.json.decode(row.last, type=EventLine)
    label = None
    if row.label_time is not None:
        label = Label(right=row.label_class == line.class_, class_=row.label_class, time=row.label_time)
    return copy_fields(
        line,
        EventResponse,
        seq=row.seq,
        time=row.time,
        active=line.type != "end",
        level_dbfs=msgspec.json.decode(row.first, type=EventLine).level_dbfs,
        peak_level_dbfs=row.peak_level_dbfs,
        clip=_clip(line.id, row.clip, folder),
        label=label,
    )


def _clip(event_id: str, line: bytes | None, folder: Path | None) -> Clip | None:
    if line is None:
        return None
    clip = msgspec.json.decode(line, type=ClipLine)
    url = None if clip.file is None else f"/api/clips/{event_id}"
    drawn = clip.picture is not None or clip_picture_path(folder, clip.file, None) is not None
    picture_url = f"/api/clips/{event_id}/picture" if drawn else None
    return Clip(url=url, picture_url=picture_url, reason=clip.reason, duration_s=clip.duration_s, bytes=clip.bytes)


def format_time(moment: str | UnsetType) -> str | UnsetType:
    """Format a time as lines do; a time out of range becomes the nearest one in range.

    Raises:
        RequestRefused: The time does not exist.
    """
    if isinstance(moment, UnsetType):
        return moment
    try:
        read = msgspec.convert(moment.upper(), datetime)
        utc = read.astimezone(UTC)
    except msgspec.ValidationError:
        raise RequestRefused(400, f"{moment} is not a time: {TIME_FORMAT}.") from None
    except OverflowError:  # the first or the last day of `datetime`, in a zone where the date differs
        utc = read.replace(tzinfo=UTC)
    return format_datetime(utc)
