"""Endpoints of the API: decode the request, call the route, encode the response."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route as Path

from soundwatch.daemon.config.clips_folder import clips_folder
from soundwatch.daemon.core.files.clip_files import PICTURE, SOUND, clip_path, clip_picture_path
from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.api import openapi
from soundwatch.daemon.web.api.events import last_clip
from soundwatch.daemon.web.api.metrics import CONTENT_TYPE, Metrics
from soundwatch.daemon.web.api.routes import ROUTES, ApiRequest, Route
from soundwatch.daemon.web.http.accept_language import wanted_language
from soundwatch.daemon.web.http.middleware import is_authenticated
from soundwatch.daemon.web.http.parameters import EventId, Query, Text
from soundwatch.daemon.web.http.query_params import parse_query
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.daemon.web.http.settings import Settings

METHODS: Final = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")
ONE_RANGE: Final = re.compile(rb"bytes=(?:(\d{1,15})-(\d{0,15})|-\d{1,15})")
Endpoint = Callable[[Request], Awaitable[Response]]


def api_paths(view: DaemonView, metrics: Metrics, settings: Settings) -> list[Path]:
    """Return the routes of the API for Starlette.

    A path takes every method and refuses the others itself; else `/api/events/delete` would be the event `delete`.
    """
    by_path: dict[str, list[Route]] = {}
    for route in ROUTES:
        by_path.setdefault(route.path, []).append(route)
    return [
        *(
            Path(source_path(path), _endpoint(routes, view, settings), methods=METHODS)
            for path, routes in sorted(by_path.items(), key=lambda item: "{" in item[0])
        ),
        Path("/api/openapi.json", _document, methods=["GET"]),
        Path("/api/clips/{name}", _clips(view), methods=["GET"]),
        Path("/api/clips/{name}/picture", _clips(view, picture=True), methods=["GET"]),
        Path("/metrics", _metrics(metrics), methods=["GET"]),
    ]


def source_path(path: str) -> str:
    """Return a path for Starlette in which the name of a source may hold a slash."""
    return path.replace("/sources/{name}", "/sources/{name:path}")


def _endpoint(routes: Sequence[Route], view: DaemonView, settings: Settings) -> Endpoint:
    """Return the endpoint of one path; each route handles one method."""

    async def respond(request: Request) -> Response:
        method = "GET" if request.method == "HEAD" else request.method
        route = next((route for route in routes if route.method == method), None)
        if route is None:
            allowed = [route.method for route in routes]
            raise HTTPException(405, headers={"Allow": ", ".join([*allowed, *(["HEAD"] if "GET" in allowed else [])])})
        api_request = ApiRequest(
            view=view,
            token_wanted=settings.token is not None,
            has_token=is_authenticated(request.headers, settings),
            if_match=request.headers.get("if-match"),
            language=wanted_language(request.headers),
            query=parse_query(request.scope["query_string"], route.query),
            name=_path_name(request, EventId if route.path.startswith("/api/events/") else Text),
            body=None if route.body is None else await _decode_body(request, route.body),
        )
        result = await asyncio.to_thread(route.handle, api_request)
        return Response(msgspec.json.encode(result), route.status, media_type="application/json")

    return respond


async def _decode_body(request: Request, type_: type[msgspec.Struct]) -> Any:
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # forms, which pages of other sites can send, have other types
        raise RequestRefused(415, "Content-Type: application/json was expected.")
    try:
        return msgspec.json.decode(await request.body(), type=type_)
    except JSON_ERRORS as error:
        raise RequestRefused(422, f"{error}.".replace("`$.", "`")) from None


def _path_name(request: Request, type_: Any) -> str:
    """Return the checked `name` of the path; empty if the path has none."""
    name: str = request.path_params.get("name", "")
    if not name:
        return name
    try:
        checked: str = msgspec.convert(name, type_)
    except msgspec.ValidationError:
        raise RequestRefused(404, "Nothing has this name.") from None
    return checked


def _clips(view: DaemonView, *, picture: bool = False) -> Endpoint:
    """Return the endpoint of the sound of events, or of its picture."""
    types = PICTURE if picture else SOUND
    missing = (
        Sentence("This event has no picture, or its picture was deleted.")
        if picture
        else Sentence("This event has no clip, or its clip was deleted.")
    )

    async def respond(request: Request) -> Response:
        parse_query(request.scope["query_string"], Query)
        folder = clips_folder(view.config().clips)
        line = await asyncio.to_thread(last_clip, view.journal.store, request.path_params["name"])
        file, drawn = (None, None) if line is None else (line.file, line.picture)
        if picture:
            path = await asyncio.to_thread(clip_picture_path, folder, file, drawn)
        else:
            path = await asyncio.to_thread(clip_path, folder, file)
        if path is None:
            raise RequestRefused(404, missing)
        _ignore_other_ranges(request)
        return FileResponse(path, media_type=types[path.suffix])

    return respond


def _ignore_other_ranges(request: Request) -> None:
    """Drop a `Range` that is malformed, has another unit or names several ranges; the whole file is sent (RFC 9110)."""
    headers = request.scope["headers"]
    request.scope["headers"] = [(name, value) for name, value in headers if name != b"range" or _is_range(value)]


def _is_range(text: bytes) -> bool:
    found = ONE_RANGE.fullmatch(text)
    return found is not None and not (found[2] and int(found[2]) < int(found[1]))


def _metrics(metrics: Metrics) -> Endpoint:
    async def respond(request: Request) -> Response:
        del request
        return Response(await asyncio.to_thread(metrics.text), headers={"Content-Type": CONTENT_TYPE})

    return respond


async def _document(request: Request) -> Response:
    del request
    return Response(msgspec.json.encode(openapi.document()), media_type="application/json")
