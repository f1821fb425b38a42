"""Live streams: Server-Sent Events at `/api/stream` and a WebSocket at `/api/ws`, with equal messages.

Conventions: `since` is the number of the client's last line; without it the stream begins with the next line.
`scores=1` adds the scores and the level of each window, `columns=1` the spectrogram, `level=1` the sound level of each
second and minute; `recent=1` begins with the scores and the spectrogram of the last minute. In Server-Sent Events the
id of a line is its number, so that a browser resumes by itself (`Last-Event-ID`). A WebSocket that cannot be served now
is closed with `TRY_AGAIN_LATER`.
Source: html.spec.whatwg.org, server-sent events; RFC 6455, and its registry for 1008 and 1013.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.web.http.disconnect import http_disconnect, until_first
from soundwatch.daemon.web.http.parameters import Query, Seq
from soundwatch.daemon.web.http.query_params import parse_query
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.daemon.web.http.timeouts import TRY_AGAIN_LATER
from soundwatch.daemon.web.live.broadcaster import Broadcaster, Message, Subscriber

POLICY_VIOLATION: Final = 1008  # the client sent a message
RETRY_MS: Final = 2000


class StreamQuery(Query, frozen=True, kw_only=True):
    """Selection of a stream's messages.

    Attributes:
        since: Number of the client's last line.
        scores: Send the scores and the level of each window.
        columns: Send the spectrogram.
        level: Send the sound level of each second and minute.
        recent: Begin with the scores and the spectrogram of the last minute.
    """

    since: Seq | UnsetType = UNSET
    scores: bool = False
    columns: bool = False
    level: bool = False
    recent: bool = False


class Streams:
    """Endpoints of both streams.

    Args:
        broadcaster: Connected clients.
        view: State of the daemon.
    """

    def __init__(self, broadcaster: Broadcaster, view: DaemonView) -> None:
        self._broadcaster = broadcaster
        self._view = view

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a client with Server-Sent Events.

        Raises:
            RequestRefused: The query is wrong, or there are too many clients.
        """
        subscriber = self._subscriber(scope, Headers(scope=scope).get("last-event-id"))
        if self._broadcaster.full:
            raise RequestRefused(503, Sentence("Too many streams are open; try again later."), {"Retry-After": "10"})
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def send_message(message: Message) -> None:
            await send({"type": "http.response.body", "body": _sse(message), "more_body": True})

        await self._send_all(subscriber, send_message, http_disconnect(receive))
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a client over a WebSocket.

        Raises:
            RequestRefused: The query is wrong.
        """
        subscriber = self._subscriber(scope, None)
        await receive()  # the request to connect
        await send({"type": "websocket.accept"})
        if self._broadcaster.full:
            await send({"type": "websocket.close", "code": TRY_AGAIN_LATER, "reason": "too many streams are open"})
            return

        async def send_message(message: Message) -> None:
            await send({"type": "websocket.send", "text": message.data.decode()})

        if await self._send_all(subscriber, send_message, _websocket_message(receive)):
            await send({"type": "websocket.close", "code": POLICY_VIOLATION, "reason": "this socket only sends"})

    async def _send_all(
        self, subscriber: Subscriber, send_message: Callable[[Message], Awaitable[None]], ended: Awaitable[bool | None]
    ) -> bool:
        """Send messages until the client or the broadcaster ends the stream; return whether `ended` gave True."""

        async def send_messages() -> None:
            async for message in self._broadcaster.messages(subscriber):
                await send_message(message)

        with self._broadcaster.subscribed(subscriber):
            sending, ending = await until_first(send_messages(), ended)
        if not sending.cancelled() and isinstance(sending.exception(), Exception):
            with contextlib.suppress(OSError):  # raised by uvicorn after the client has disconnected
                sending.result()
        return not ending.cancelled() and ending.exception() is None and ending.result() is True

    def _subscriber(self, scope: Scope, last_event_id: str | None) -> Subscriber:
        query = parse_query(scope["query_string"], StreamQuery)
        since = query.since
        if last_event_id is not None:
            try:
                since = msgspec.convert(last_event_id, Seq, strict=False)
            except msgspec.ValidationError:
                raise RequestRefused(400, "Last-Event-ID is not the number of a line.") from None
        seq = self._view.journal.last_seq if isinstance(since, UnsetType) else since
        return Subscriber(seq, scores=query.scores, columns=query.columns, level=query.level, recent=query.recent)


async def _websocket_message(receive: Receive) -> bool:
    """Wait until a WebSocket client has disconnected or sent a message; return True for a message."""
    return bool((await receive())["type"] == "websocket.receive")


def _sse(message: Message) -> bytes:
    """Encode a message for Server-Sent Events: lines without an event name, for `onmessage`; others with their kind."""
    if message.kind == "heartbeat":
        return b": heartbeat\n\n"
    head = f"id: {message.seq}\n" if message.kind == "line" else f"event: {message.kind}\n"
    if message.kind == "welcome":
        head = f"retry: {RETRY_MS}\n{head}"
    return head.encode() + b"data: " + message.data + b"\n\n"
