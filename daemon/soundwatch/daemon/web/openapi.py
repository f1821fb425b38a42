"""The OpenAPI document of the API, made of its routes and records.

Source: spec.openapis.org/oas/v3.1.0, whose schemas are JSON Schema 2020-12, which is what msgspec writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.web.routes import ROUTES, Route
from soundwatch.daemon.web.schemas import ErrorResponse, EventId, Query, Text
from soundwatch.daemon.web.streams import StreamQuery

REFUSALS: Final = {
    400: "The query or the path is wrong.",
    401: "A token is wanted.",
    403: "A page of another site asks.",
    404: "There is no such thing.",
    408: "What was to be sent did not come.",
    413: "Too much was sent.",
    415: "JSON was wanted.",
    421: "It is not this host that was asked for.",
    422: "What was sent is wrong.",
    429: "Too many requests.",
    431: "Too many headers.",
    503: "It cannot be done just now.",
}
_JSON: Final = "application/json"


def document() -> dict[str, Any]:
    """The whole of it."""
    records = list(dict.fromkeys(_records()))
    schemas, components = msgspec.json.schema_components(records, ref_template="#/components/schemas/{name}")
    of = dict(zip(records, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "soundwatch", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths | _others(),
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _records() -> Iterator[type[msgspec.Struct]]:
    yield ErrorResponse
    for route in ROUTES:
        yield route.answer
        if route.body is not None:
            yield route.body


def _operation(route: Route, of: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    named = route.path.removeprefix("/api/").replace("{name}", "one").replace("/", "_")
    operation: dict[str, Any] = {
        "summary": route.text,
        "operationId": f"{route.method.lower()}_{named}",
        "parameters": [*_path_parameters(route), *_query_parameters(route.query)],
        "responses": {
            str(route.status): {"description": "Well.", "content": {_JSON: {"schema": of[route.answer]}}},
            **_refusals(_possible(route)),
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": of[route.body]}}}
    return operation


def _possible(route: Route) -> Iterator[int]:
    yield from (400, 401, 403, 413, 421, 429, 431)
    if "{name}" in route.path:
        yield 404
    if route.method in ("POST", "DELETE"):
        yield 503
    if route.body is not None:
        yield from (408, 415, 422)


def _refusals(statuses: Iterable[int]) -> dict[str, Any]:
    schema = {"$ref": "#/components/schemas/ErrorResponse"}
    return {
        str(status): {"description": REFUSALS[status], "content": {_JSON: {"schema": schema}}}
        for status in sorted(statuses)
    }


def _path_parameters(route: Route) -> list[dict[str, Any]]:
    if "{name}" not in route.path:
        return []
    schema = msgspec.json.schema(EventId if "/events/" in route.path else Text)
    if "/sources/" in route.path:
        schema["minLength"] = 1
    return [{"name": "name", "in": "path", "required": True, "schema": schema}]


def _query_parameters(query: type[Query]) -> list[dict[str, Any]]:
    schema = msgspec.json.schema(query, ref_template="{name}")["$defs"][query.__name__]
    texts = _attribute_texts(query)
    return [
        {"name": name, "in": "query", "required": False, "description": texts[name], "schema": part}
        for name, part in schema["properties"].items()
    ]


def _attribute_texts(record: type) -> dict[str, str]:
    """What the docstring says of each attribute."""
    lines = inspect.cleandoc(record.__doc__ or "").partition("Attributes:")[2].splitlines()
    pairs = [line.strip().partition(": ") for line in lines if line.strip()]
    return {name.rstrip("_"): text for name, _, text in pairs}


def _others() -> dict[str, Any]:
    """What is not JSON."""

    def get(text: str, kind: str, parameters: list[dict[str, Any]], *more: int) -> dict[str, Any]:
        answer = {"description": text, "content": {kind: {"schema": {"type": "string"}}}}
        refusals = _refusals((401, 403, 413, 421, 429, 431, *more))
        return {"get": {"summary": text, "parameters": parameters, "responses": {"200": answer, **refusals}}}

    query = _query_parameters(StreamQuery)
    event_id = {"name": "name", "in": "path", "required": True, "schema": msgspec.json.schema(EventId)}
    return {
        "/api/stream": get("Server-Sent Events: lines as they come.", "text/event-stream", query, 400, 503),
        "/api/clips/{name}": get("An event's sound, by the event's id.", "audio/flac", [event_id], 400, 404),
        "/metrics": get("Prometheus' metrics.", "text/plain", []),
    }
