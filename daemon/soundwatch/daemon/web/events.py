"""Event queries on the journal file: one record per event, from its last line, with its clip and its label.

Conventions: an event has the number and time of its `start` line, so that pages of results stay stable while events
are active. An event whose `start` line the journal has deleted is not found.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import UNSET, UnsetType

from soundwatch.daemon.core.clock import format_datetime, format_utc
from soundwatch.daemon.events.schema import EventLine
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.query_params import TIME_FORMAT
from soundwatch.daemon.web.schemas import (
    Clip,
    Count,
    CountsQuery,
    CountsResponse,
    EventResponse,
    EventsQuery,
    EventsResponse,
    Label,
)

QUARTER_S: Final = 900

_EVENTS: Final = """
SELECT seq, first_time, last, clip, labels.time, labels.class FROM (
    SELECT s.seq, s.id, s.time AS first_time, s.class AS event_class, s.source,
        (SELECT line FROM lines WHERE id = s.id AND type IN ('start', 'update', 'end') ORDER BY seq DESC LIMIT 1)
            AS last,
        (SELECT line FROM lines WHERE id = s.id AND type = 'clip' ORDER BY seq DESC LIMIT 1) AS clip
    FROM lines s WHERE s.type = 'start'
) LEFT JOIN labels USING (id)
"""

_SEARCH_TEXT: Final = (
    "event_class || ' ' || replace(event_class, '_', ' ') || ' ' || source || ' ' || coalesce(labels.class, '')"
)


class ClipLine(msgspec.Struct, frozen=True, kw_only=True):
    """Fields of a `clip` line that the API uses."""

    file: str | None = None
    reason: str | None = None
    duration_s: float | None = None
    bytes: int | None = None


def find_events(store: JournalStore, query: EventsQuery) -> EventsResponse:
    """Return one page of events, newest first."""
    conditions: dict[str, Any] = {
        "seq < ?": query.before,
        "event_class = ?": query.class_,
        "source = ?": query.source,
        "first_time >= ?": _format_time(query.since),
        "first_time < ?": _format_time(query.until),
        "json_extract(CAST(last AS TEXT), '$.peak_score') >= ?": query.min_score,
        f"instr(lower({_SEARCH_TEXT}), ?) > 0": query.text if isinstance(query.text, UnsetType) else query.text.lower(),
    }
    given = {condition: value for condition, value in conditions.items() if value is not UNSET}
    where = f"WHERE {' AND '.join(given)}" if given else ""
    found = store.ask(f"{_EVENTS} {where} ORDER BY seq DESC LIMIT ?", *given.values(), query.limit + 1)
    page = found[: query.limit]
    return EventsResponse(
        events=tuple(_event(*row) for row in page), next=page[-1][0] if len(found) > query.limit else None
    )


def find_event(store: JournalStore, event_id: str) -> EventResponse | None:
    """Return the event of an id; None if there is none."""
    found = store.ask(f"{_EVENTS} WHERE id = ? LIMIT 1", event_id)
    return _event(*found[0]) if found else None


def last_clip_line(store: JournalStore, event_id: str) -> ClipLine | None:
    """Return the last `clip` line of an event; None if there is none."""
    found = store.ask("SELECT line FROM lines WHERE id = ? AND type = 'clip' ORDER BY seq DESC LIMIT 1", event_id)
    return msgspec.json.decode(found[0][0], type=ClipLine) if found else None


def count_events(store: JournalStore, query: CountsQuery) -> CountsResponse:
    """Count the events of each class in each quarter of an hour."""
    conditions = {
        "time >= ?": _format_time(query.since),
        "time < ?": _format_time(query.until),
        "source = ?": query.source,
    }
    given = {condition: value for condition, value in conditions.items() if value is not UNSET}
    where = " AND ".join(("type = 'start'", *given))
    found = store.ask(
        f"SELECT class, CAST(strftime('%s', time) AS INTEGER) / {QUARTER_S} AS quarter, COUNT(*) FROM lines "  # noqa: S608
        f"WHERE {where} GROUP BY class, quarter ORDER BY quarter, class",
        *given.values(),
    )
    return CountsResponse(
        counts=tuple(
            Count(class_=class_, time=format_utc(quarter * QUARTER_S * 1_000_000_000), events=events)
            for class_, quarter, events in found
        )
    )


def _event(
    seq: int, time: str, last: bytes, clip: bytes | None, label_time: str | None, label_class: str | None
) -> EventResponse:
    line = msgspec.json.decode(last, type=EventLine)
    label = None
    if label_time is not None:
        label = Label(right=label_class == line.class_, class_=label_class, time=label_time)
    return EventResponse(
        id=line.id,
        seq=seq,
        time=time,
        source=line.source,
        class_=line.class_,
        active=line.type != "end",
        score=line.score,
        peak_score=line.peak_score,
        level_dbfs=line.level_dbfs,
        onset=line.onset,
        offset=line.offset,
        duration_s=line.duration_s,
        reason=line.reason,
        latency_ms=line.latency_ms,
        model=line.model,
        provider=line.provider,
        clip=_clip(line.id, clip),
        label=label,
    )


def _clip(event_id: str, line: bytes | None) -> Clip | None:
    if line is None:
        return None
    clip = msgspec.json.decode(line, type=ClipLine)
    url = None if clip.file is None else f"/api/clips/{event_id}"
    return Clip(url=url, reason=clip.reason, duration_s=clip.duration_s, bytes=clip.bytes)


def _format_time(moment: str | UnsetType) -> str | UnsetType:
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
