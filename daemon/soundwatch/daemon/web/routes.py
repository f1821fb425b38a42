"""The API's parts: what is asked, what is answered, and what is done for it. The OpenAPI document is made of the same.

Conventions: a function here takes what was asked as records and gives a record. They run beside the server's loop,
since they may look into the journal's file.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.redact import redacted_config
from soundwatch.daemon.web import events, responses
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.schemas import (
    ClassesResponse,
    ConfigResponse,
    CountsQuery,
    CountsResponse,
    EventResponse,
    EventsQuery,
    EventsResponse,
    HealthResponse,
    LabelBody,
    LinesQuery,
    LinesResponse,
    ModelResponse,
    Query,
    SinksResponse,
    SourcesResponse,
    SwitchResponse,
)


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A request to the API.

    Attributes:
        view: What there is to see.
        query: What the URL asks for.
        name: The part of the path that varies; empty where none does.
        body: What was sent; None where nothing is to be.
    """

    view: WebContext
    query: Any
    name: str
    body: Any


@dataclass(frozen=True, slots=True)
class Route:
    """A part of the API.

    Attributes:
        method: HTTP's.
        path: With `{name}` for the part that varies.
        text: What it does.
        answer: The record that it gives.
        do: What gives it.
        query: The record of its URL's query.
        body: The record that is sent; None where nothing is.
        status: HTTP's, when all is well.
    """

    method: str
    path: str
    text: str
    answer: type[msgspec.Struct]
    do: Callable[[ApiRequest], msgspec.Struct]
    query: type[Query] = Query
    body: type[msgspec.Struct] | None = None
    status: int = 200


def _event(asked: ApiRequest) -> EventResponse:
    found = events.find_event(asked.view.journal.store, asked.name)
    if found is None:
        raise RequestRefused(404, "There is no event of this id; the journal may have dropped it.")
    return found


def _lines(asked: ApiRequest) -> LinesResponse:
    journal, query = asked.view.journal, asked.query
    entries = journal.after(query.since, query.limit)
    return LinesResponse(lines=tuple(msgspec.Raw(entry.line) for entry in entries), last_seq=journal.last_seq)


def _label(asked: ApiRequest) -> EventResponse:
    event = _event(asked)
    class_ = event.class_ if asked.body.right else asked.body.class_
    if not asked.body.right:
        if class_ is not None and class_ not in asked.view.contract.labels:
            raise RequestRefused(
                422, f"The model has no class of this name; its classes are {_classes(asked)}, and null."
            )
        if class_ == event.class_:
            raise RequestRefused(422, f"It was taken for {class_}; to say that it was that, send right: true.")
    try:
        asked.view.journal.store.label(event.id, format_utc(time.time_ns()), class_)
    except sqlite3.Error as error:
        raise RequestRefused(503, f"The journal cannot be written: {error}.") from error
    return _event(asked)


def _unlabel(asked: ApiRequest) -> EventResponse:
    event = _event(asked)
    try:
        asked.view.journal.store.transaction(lambda db: db.execute("DELETE FROM labels WHERE id = ?", (event.id,)))
    except sqlite3.Error as error:
        raise RequestRefused(503, f"The journal cannot be written: {error}.") from error
    return _event(asked)


def _classes(asked: ApiRequest) -> str:
    return ", ".join(asked.view.contract.labels)


def _switch(asked: ApiRequest, *, listen: bool) -> SwitchResponse:
    if asked.name not in asked.view.sink_context.board().sources:
        raise RequestRefused(404, "There is no source of this name.")
    asked.view.sink_context.switch(asked.name, listen)
    return SwitchResponse(source=asked.name, listen=listen)


ROUTES: Final = (
    Route(
        "GET",
        "/api/events",
        "Events, newest first.",
        EventsResponse,
        lambda asked: events.find_events(asked.view.journal.store, asked.query),
        EventsQuery,
    ),
    Route("GET", "/api/events/{name}", "One event, by its id.", EventResponse, _event),
    Route("POST", "/api/events/{name}/label", "Say what it was.", EventResponse, _label, body=LabelBody),
    Route("DELETE", "/api/events/{name}/label", "Take that back.", EventResponse, _unlabel),
    Route(
        "GET",
        "/api/counts",
        "Events of each class by quarters of an hour.",
        CountsResponse,
        lambda asked: events.count_events(asked.view.journal.store, asked.query),
        CountsQuery,
    ),
    Route("GET", "/api/lines", "Lines, oldest first, as every sink gets them.", LinesResponse, _lines, LinesQuery),
    Route("GET", "/api/sources", "All sources.", SourcesResponse, lambda asked: responses.sources(asked.view)),
    Route(
        "POST",
        "/api/sources/{name}/pause",
        "Throw a source's sound away unheard.",
        SwitchResponse,
        lambda asked: _switch(asked, listen=False),
        status=202,
    ),
    Route(
        "POST",
        "/api/sources/{name}/resume",
        "Listen to it again.",
        SwitchResponse,
        lambda asked: _switch(asked, listen=True),
        status=202,
    ),
    Route("GET", "/api/classes", "The model's classes.", ClassesResponse, lambda asked: responses.classes(asked.view)),
    Route("GET", "/api/health", "How all goes.", HealthResponse, lambda asked: responses.health(asked.view)),
    Route("GET", "/api/sinks", "How each sink does.", SinksResponse, lambda asked: responses.sinks(asked.view)),
    Route("GET", "/api/model", "The model and its card.", ModelResponse, lambda asked: responses.model(asked.view)),
    Route(
        "GET",
        "/api/config",
        "The configuration in force, its secrets hidden.",
        ConfigResponse,
        lambda asked: ConfigResponse(config=redacted_config(asked.view.config())),
    ),
)
