"""Deletion of events with their clips and pictures by a request of the API.

Rule: a deletion needs a token, also on loopback. Refused are an event that is active or whose clip is not written yet,
since a line would follow; an event with a line that a sink has yet to take, since its end would never arrive; and an
event whose clip may be where it cannot be deleted. A refusal deletes nothing.
A clip and its picture are deleted before the lines of its event, so no clip stays without a line that names it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.core.files.clip_files import PICTURE, clip_path, picture_name, unreachable_clip
from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.text.messages import counted
from soundwatch.daemon.journal.queries.deletion import delete_events, last_seqs
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.api.events import find_event, last_clip
from soundwatch.daemon.web.http.parameters import EventId
from soundwatch.daemon.web.http.refusal import RequestRefused, journal_written

LOGIN_NEEDED: Final = Sentence(
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
        RequestRefused: The request has no token, an event cannot be deleted yet, or a file cannot be deleted.
    """
    if not has_token:
        raise RequestRefused(403, LOGIN_NEEDED)
    ids = _find_ended(view, body.ids)
    _check_sinks(view, ids)
    sounds, pictures = zip(*(_clip_files(view, id_) for id_ in ids), strict=True)
    clips = sum(sound is not None for sound in sounds)
    try:
        for path in (*pictures, *sounds):
            if path is not None:
                path.unlink(missing_ok=True)
    except OSError as error:
        raise RequestRefused(
            503, Sentence("A clip cannot be deleted: {reason}.", reason=error.strerror or str(error))
        ) from error
    with journal_written():
        by = f"and {counted(clips, 'clip')} were deleted by a request to the API"
        lines = delete_events(view.journal, ids, by, view.node, time.time_ns())
    view.log.info("events_deleted", events=len(ids), lines=lines, clips=clips)
    return DeletionResponse(events=len(ids), lines=lines, clips=clips)


def _find_ended(view: DaemonView, ids: Sequence[str]) -> list[str]:
    """Return the ids that the journal has, all of events that have ended and whose clips are written.

    Raises:
        RequestRefused: An event has not ended, its clip is not written, or the journal has none of the ids.
    """
    pending = {id_ for id_ in ids if view.clip_pending(id_)}
    view.journal.flush()  # the line of a clip that is no longer pending is in the file
    found = [event for id_ in dict.fromkeys(ids) if (event := find_event(view.journal.store, id_)) is not None]
    if active := [event.id for event in found if event.active]:
        raise RequestRefused(409, Sentence("{event} is active; it can be deleted after its end.", event=active[0]))
    if pending:
        raise RequestRefused(
            409,
            Sentence("The clip of {event} is not written yet; delete the event in a few seconds.", event=min(pending)),
        )
    if view.journal.failing:  # lines in memory, which name clips, would not be found
        raise RequestRefused(503, Sentence("The journal cannot be written now; delete the events when it can be."))
    if not found:
        raise RequestRefused(404, Sentence("No event has one of these ids; the journal may have deleted them."))
    return [event.id for event in found]


def _check_sinks(view: DaemonView, ids: Sequence[str]) -> None:
    """Refuse events with a line that a sink or a rule has yet to take."""
    rules = [target.sink for rule in view.rules() for target in rule.targets]
    last = last_seqs(view.journal.store, ids)
    for sink in [*(status for status, _ in view.sinks()), *rules]:
        if sink.state == "gone":
            continue
        for id_, seq in last.items():
            if seq > sink.delivered_seq:
                raise RequestRefused(
                    409,
                    Sentence(
                        "{sink} has yet to take the lines of {event}; delete the event after that. "
                        "A sink that stays down can be removed from the configuration.",
                        sink=sink.name,
                        event=id_,
                    ),
                )


def _clip_files(view: DaemonView, event_id: str) -> tuple[Path | None, Path | None]:
    """Return the sound and the picture of an event's clip; None for each that is not there, or no longer."""
    line = last_clip(view.journal.store, event_id)
    if line is None:
        return None, None
    folder = clips_folder(view.config().clips)
    sound, picture = clip_path(folder, line.file), clip_path(folder, line.picture or picture_name(line.file), PICTURE)
    if (
        sound is None
        and line.file is not None
        and (reason := unreachable_clip(folder, line.file, line.path)) is not None
    ):
        raise RequestRefused(
            409,
            Sentence(
                "The clip of {event} cannot be deleted, so the event stays: {reason}", event=event_id, reason=reason
            ),
        )
    return sound, picture
