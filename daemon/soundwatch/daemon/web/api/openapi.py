"""The OpenAPI document, generated from the routes and records of the API.

Source: spec.openapis.org/oas/v3.1.0; its schemas are JSON Schema 2020-12, as msgspec generates them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Iterator
from typing import Any, Final

import msgspec

from soundwatch.daemon import __version__
from soundwatch.daemon.web.api.routes import ROUTES, Route
from soundwatch.daemon.web.http.parameters import ErrorResponse, EventId, Query, Text
from soundwatch.daemon.web.live.streams import StreamQuery

REFUSALS: Final = {
    400: "The query or the path is invalid.",
    401: "A token is required.",
    403: "A page of another site sent the request.",
    404: "Not found.",
    408: "The body did not arrive in time.",
    409: "The change is not possible now.",
    412: "The content was changed meanwhile.",
    413: "The body is too large.",
    415: "The body is not JSON.",
    421: "The Host header does not name this server.",
    422: "The body is invalid.",
    428: "If-Match is required.",
    429: "Too many requests.",
    431: "Too many headers.",
    503: "Temporarily unavailable.",
}
_JSON: Final = "application/json"


def document() -> dict[str, Any]:
    """Return the OpenAPI document."""
    records = list(dict.fromkeys(_records()))
    schemas, components = msgspec.json.schema_components(records, ref_template="#/components/schemas/{name}")
    schema_of = dict(zip(records, schemas, strict=True))
    paths: dict[str, Any] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, schema_of)
    return {
        "openapi": "3.1.0",
        "info": {"title": "soundwatch", "version": __version__, "license": {"name": "Apache-2.0"}},
        "paths": paths | _other_paths(),
        "components": {"schemas": components, "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{}, {"token": []}],
    }


def _records() -> Iterator[type[msgspec.Struct]]:
    yield ErrorResponse
    for route in ROUTES:
        yield route.response
        if route.body is not None:
            yield route.body


def _operation(route: Route, schema_of: dict[type[msgspec.Struct], Any]) -> dict[str, Any]:
    operation_name = route.path.removeprefix("/api/").replace("{name}", "one").replace("/", "_")
    operation: dict[str, Any] = {
        "summary": route.text,
        "operationId": f"{route.method.lower()}_{operation_name}",
        "parameters": [*_path_parameters(route), *_query_parameters(route.query), *_tag_parameters(route)],
        "responses": {
            str(route.status): {"description": "Success.", "content": {_JSON: {"schema": schema_of[route.response]}}},
            **_refusals(_possible_refusals(route)),
        },
    }
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": {_JSON: {"schema": schema_of[route.body]}}}
    return operation


def _possible_refusals(route: Route) -> Iterator[int]:
    yield from (400, 401, 403, 413, 421, 429, 431)
    if "{name}" in route.path:
        yield 404
    if route.method in ("POST", "DELETE"):
        yield 503
    if route.body is not None:
        yield from (408, 415, 422)
    if route.tagged or route.path in ("/api/deletions", "/api/sources/{name}/resume"):
        yield 409
    if route.tagged:
        yield from (412, 428)


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


def _tag_parameters(route: Route) -> list[dict[str, Any]]:
    if not route.tagged:
        return []
    text = "Tag of the content that is changed."
    return [{"name": "If-Match", "in": "header", "required": False, "description": text, "schema": {"type": "string"}}]


def _attribute_texts(record: type) -> dict[str, str]:
    """Read the descriptions of the attributes from the docstring."""
    lines = inspect.cleandoc(record.__doc__ or "").partition("Attributes:")[2].splitlines()
    pairs = [line.strip().partition(": ") for line in lines if line.strip()]
    return {name.rstrip("_"): text for name, _, text in pairs}


def _other_paths() -> dict[str, Any]:
    """Return the paths whose responses are not JSON."""

    def get(text: str, media_type: str, parameters: list[dict[str, Any]], *statuses: int) -> dict[str, Any]:
        response = {"description": text, "content": {media_type: {"schema": {"type": "string"}}}}
        refusals = _refusals((401, 403, 413, 421, 429, 431, *statuses))
        return {"get": {"summary": text, "parameters": parameters, "responses": {"200": response, **refusals}}}

    query = _query_parameters(StreamQuery)
    event_id = {"name": "name", "in": "path", "required": True, "schema": msgspec.json.schema(EventId)}
    source = {"name": "name", "in": "path", "required": True, "schema": msgspec.json.schema(Text)}
    return {
        "/api/sources/{name}/listen": get("Live sound of a source.", "audio/webm", [source], 404, 503),
        "/api/stream": get("Server-Sent Events: new lines of the journal.", "text/event-stream", query, 400, 503),
        "/api/clips/{name}": get("Sound of an event, by the event's id.", "audio/flac", [event_id], 400, 404),
        "/api/clips/{name}/picture": get("Spectrogram of an event's clip.", "image/png", [event_id], 400, 404),
        "/metrics": get("Prometheus metrics.", "text/plain", []),
    }
