"""The routes of the API. The OpenAPI document is generated from them.

Conventions: a handler takes records and returns a record. Handlers run in threads outside the event loop, since they
may read the journal file.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import msgspec

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.core.errors import LockedError
from soundwatch.daemon.core.languages.language import Language, Sentence, error_text
from soundwatch.daemon.core.network.redact import redacted_config
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.journal.queries.labels import delete_label, set_label
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.statistics.records import Statistics
from soundwatch.daemon.web.api import events, responses
from soundwatch.daemon.web.api.config_changes import (
    ChangeBody,
    ChangeResponse,
    KeysResponse,
    change_settings,
    settings_keys,
)
from soundwatch.daemon.web.api.deletion import DeletionBody, DeletionResponse, delete_with_clips
from soundwatch.daemon.web.api.event_schemas import EventResponse, EventsResponse
from soundwatch.daemon.web.api.levels import LevelsQuery, LevelsResponse, find_levels
from soundwatch.daemon.web.api.rules import RulesResponse, rules
from soundwatch.daemon.web.api.schemas import (
    ClassesResponse,
    ConfigResponse,
    CountsQuery,
    CountsResponse,
    EventsQuery,
    HealthResponse,
    LabelBody,
    LinesQuery,
    LinesResponse,
    ModelResponse,
    SinksResponse,
    SourcesResponse,
    SwitchBody,
    SwitchResponse,
)
from soundwatch.daemon.web.api.source_settings import SettingsResponse, settings_in_force
from soundwatch.daemon.web.api.statistics import StatisticsQuery, find_statistics
from soundwatch.daemon.web.http.parameters import Query
from soundwatch.daemon.web.http.refusal import RequestRefused, journal_written


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """One decoded request.

    Attributes:
        view: State of the daemon.
        token_wanted: Clients need a token.
        query: Decoded query.
        name: The `{name}` of the path; empty if the path has none.
        body: Decoded body; None if the route has no body.
        has_token: The request has the token itself; a proxy that checks its users passes requests without one.
        if_match: `If-Match` of the request.
        language: Language of sentences in the response.
    """

    view: DaemonView
    token_wanted: bool
    query: Any
    name: str
    body: Any
    has_token: bool = False
    if_match: str | None = None
    language: Language = "en"


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one path.

    Attributes:
        method: HTTP method.
        path: Path, with `{name}` for its variable part.
        text: Summary.
        response: Type of the response.
        handle: Handler.
        query: Type of the query.
        body: Type of the body; None if there is none.
        status: HTTP status on success.
        tagged: The request has to name the content that it changes (`If-Match`).
    """

    method: str
    path: str
    text: str
    response: type[msgspec.Struct]
    handle: Callable[[ApiRequest], msgspec.Struct]
    query: type[Query] = Query
    body: type[msgspec.Struct] | None = None
    status: int = 200
    tagged: bool = False


def _folder(request: ApiRequest) -> Path | None:
    return clips_folder(request.view.config().clips)


def _event(request: ApiRequest) -> EventResponse:
    found = events.find_event(request.view.journal.store, request.name, _folder(request))
    if found is None:
        raise RequestRefused(404, Sentence("No event has this id; the journal may have deleted it."))
    return found


def _lines(request: ApiRequest) -> LinesResponse:
    journal, query = request.view.journal, request.query
    entries = journal.read_after(query.since, query.limit)
    return LinesResponse(lines=tuple(msgspec.Raw(entry.line) for entry in entries), last_seq=journal.last_seq)


def _label(request: ApiRequest) -> EventResponse:
    event = _event(request)
    class_ = event.class_ if request.body.right else request.body.class_
    if not request.body.right:
        if class_ is not None and class_ not in request.view.model().contract.labels:
            raise RequestRefused(
                422, f"The model has no class of this name; its classes are {_classes(request)}, and null."
            )
        if class_ == event.class_:
            raise RequestRefused(422, f"The event's class is {class_}; to confirm it, send right: true.")
    with journal_written():
        set_label(request.view.journal.store, event.id, format_utc(time.time_ns()), class_)
    return _event(request)


def _unlabel(request: ApiRequest) -> EventResponse:
    event = _event(request)
    with journal_written():
        delete_label(request.view.journal.store, event.id)
    return _event(request)


def _classes(request: ApiRequest) -> str:
    return ", ".join(request.view.model().contract.labels)


def _switch(request: ApiRequest, *, listen: bool) -> SwitchResponse:
    if request.name not in request.view.status.snapshot.sources:
        raise RequestRefused(404, Sentence("No source has this name."))
    try:
        request.view.set_listening(request.name, listen=listen)
    except LockedError as error:
        raise RequestRefused(409, error_text(error)) from None
    return SwitchResponse(source=request.name, listen=listen)


ROUTES: Final = (
    Route(
        "GET",
        "/api/events",
        "Events, newest first.",
        EventsResponse,
        lambda request: events.find_events(request.view.journal.store, request.query, _folder(request)),
        EventsQuery,
    ),
    Route(
        "POST",
        "/api/deletions",
        "Delete events with their clips and labels.",
        DeletionResponse,
        lambda request: delete_with_clips(request.view, request.body, has_token=request.has_token),
        body=DeletionBody,
    ),
    Route("GET", "/api/events/{name}", "One event, by its id.", EventResponse, _event),
    Route("POST", "/api/events/{name}/label", "Label an event.", EventResponse, _label, body=LabelBody),
    Route("DELETE", "/api/events/{name}/label", "Delete an event's label.", EventResponse, _unlabel),
    Route(
        "GET",
        "/api/counts",
        "Number of events of each class by quarter of an hour.",
        CountsResponse,
        lambda request: events.count_events(request.view.journal.store, request.query),
        CountsQuery,
    ),
    Route(
        "GET",
        "/api/statistics",
        "Statistics of a day or a week, in the time zone of the place.",
        Statistics,
        lambda request: find_statistics(request.view, request.query),
        StatisticsQuery,
    ),
    Route(
        "GET",
        "/api/levels",
        "Sound levels of quarters of an hour, hours or days, oldest first.",
        LevelsResponse,
        lambda request: find_levels(request.view.journal.store, request.query),
        LevelsQuery,
    ),
    Route("GET", "/api/lines", "Lines of the journal, oldest first.", LinesResponse, _lines, LinesQuery),
    Route(
        "GET",
        "/api/sources",
        "Status of all sources.",
        SourcesResponse,
        lambda request: responses.sources(request.view, has_token=request.has_token),
    ),
    Route(
        "POST",
        "/api/sources/{name}/pause",
        "Pause a source: its sound is discarded.",
        SwitchResponse,
        lambda request: _switch(request, listen=False),
        body=SwitchBody,
        status=202,
    ),
    Route(
        "POST",
        "/api/sources/{name}/resume",
        "Resume a source.",
        SwitchResponse,
        lambda request: _switch(request, listen=True),
        body=SwitchBody,
        status=202,
    ),
    Route(
        "GET",
        "/api/settings",
        "Settings in force of each source with their origin, and the schedules.",
        SettingsResponse,
        lambda request: settings_in_force(request.view),
    ),
    Route(
        "GET",
        "/api/settings/keys",
        "All keys of the configuration file with their texts and values.",
        KeysResponse,
        lambda request: settings_keys(request.view, has_token=request.has_token, language=request.language),
    ),
    Route(
        "PUT",
        "/api/settings",
        "Change the configuration file and reload it; with dry_run only check the change.",
        ChangeResponse,
        lambda request: change_settings(request.view, request.body, request.if_match, has_token=request.has_token),
        body=ChangeBody,
        tagged=True,
    ),
    Route(
        "GET", "/api/classes", "Classes of the model.", ClassesResponse, lambda request: responses.classes(request.view)
    ),
    Route(
        "GET",
        "/api/health",
        "Health of the daemon.",
        HealthResponse,
        lambda request: responses.health(request.view, token_wanted=request.token_wanted, language=request.language),
    ),
    Route(
        "GET",
        "/api/rules",
        "Status of all alert rules.",
        RulesResponse,
        lambda request: rules(request.view, request.language),
    ),
    Route("GET", "/api/sinks", "Status of all sinks.", SinksResponse, lambda request: responses.sinks(request.view)),
    Route(
        "GET",
        "/api/model",
        "Contract and card of the model.",
        ModelResponse,
        lambda request: responses.model(request.view),
    ),
    Route(
        "GET",
        "/api/config",
        "Configuration in force, without secrets.",
        ConfigResponse,
        lambda request: ConfigResponse(config=redacted_config(request.view.config())),
    ),
)
