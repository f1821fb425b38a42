"""Deletion of events with their clips by a request of the API.

Rule: a deletion needs a token, also on loopback. An event that is active is refused, since its next line would follow.
A clip is deleted before the lines of its event, so no clip stays without a line that names it.
"""

from __future__ import annotations

import sqlite3
import time
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from soundwatch.daemon.journal.deletion import delete_events
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.clip_files import clip_path, clips_folder
from soundwatch.daemon.web.events import find_event, last_clip
from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.schemas import EventId

LOGIN_NEEDED: Final = (  # a sentence
    "Events can be deleted only with a token. Add ,token_file=FILE to the page's address, or set SOUNDWATCH_TOKEN, "
    "restart soundwatch and log in."
)


class DeletionBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Ids of the events to delete."""

    ids: Annotated[list[EventId], Meta(min_length=1, max_length=100)]


class DeletionResponse(msgspec.Struct, frozen=True, kw_only=True):
    """Number of deleted events, lines of the journal, and clips."""

    events: int
    lines: int
    clips: int


def delete_with_clips(view: DaemonView, body: DeletionBody, *, has_token: bool) -> DeletionResponse:
    """Delete events, their clips and their labels.

    Raises:
        RequestRefused: The request has no token, an event is active, or a file cannot be deleted.
    """
    if not has_token:
        raise RequestRefused(403, LOGIN_NEEDED)
    store = view.journal.store
    found = [event for id_ in dict.fromkeys(body.ids) if (event := find_event(store, id_)) is not None]
    if active := [event.id for event in found if event.active]:
        raise RequestRefused(409, f"{active[0]} is active; it can be deleted after its end.")
    if not found:
        raise RequestRefused(404, "No event has one of these ids; the journal may have deleted them.")
    ids = [event.id for event in found]
    try:
        clips = sum(_delete_clip(view, id_) for id_ in ids)
        by = f"and {clips} clip{'s' if clips != 1 else ''} were deleted by a request to the API"
        lines = delete_events(view.journal, ids, by, view.node, time.time_ns())
    except OSError as error:
        raise RequestRefused(503, f"A clip cannot be deleted: {error.strerror or error}.") from error
    except sqlite3.Error as error:
        raise RequestRefused(503, f"The journal cannot be written: {error}.") from error
    view.log.info("events_deleted", events=len(ids), lines=lines, clips=clips)
    return DeletionResponse(events=len(ids), lines=lines, clips=clips)


def _delete_clip(view: DaemonView, event_id: str) -> int:
    line = last_clip(view.journal.store, event_id)
    path = None if line is None else clip_path(clips_folder(view.config().clips), line.file)
    if path is None:
        return 0
    path.unlink(missing_ok=True)
    return 1
