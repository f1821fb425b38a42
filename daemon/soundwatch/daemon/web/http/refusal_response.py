"""Responses to refused requests: one sentence, in the language of the request.

Conventions: JSON, or a page of HTML for a browser that opens the address as a page or sends a form.
"""

from __future__ import annotations

import html
from typing import Final

import msgspec
from starlette.datastructures import Headers
from starlette.types import Scope, Send

from soundwatch.daemon.core.languages.language import in_language
from soundwatch.daemon.core.network.redact import redact_text
from soundwatch.daemon.web.http.accept_language import wanted_language
from soundwatch.daemon.web.http.parameters import ErrorResponse
from soundwatch.daemon.web.http.refusal import RequestRefused

_PAGE: Final = """<!doctype html>
<html lang="{language}"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>soundwatch</title><p>{error}</p></html>
"""


async def send_refusal(scope: Scope, send: Send, refusal: RequestRefused) -> None:
    """Send a refusal, without secrets, as the response to a request or to a WebSocket handshake."""
    headers = Headers(scope=scope)
    language = wanted_language(headers)
    error = redact_text(in_language(refusal.error, language))
    if "text/html" in headers.get("accept", "").lower():
        kind, body = "text/html; charset=utf-8", _PAGE.format(language=language, error=html.escape(error)).encode()
    else:
        kind, body = "application/json", msgspec.json.encode(ErrorResponse(error=error))
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    sent = {"Content-Type": kind, "Content-Length": str(len(body))} | refusal.headers
    await send(
        {
            "type": f"{prefix}.start",
            "status": refusal.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in sent.items()],
        }
    )
    await send({"type": f"{prefix}.body", "body": b"" if scope.get("method") == "HEAD" else body})
