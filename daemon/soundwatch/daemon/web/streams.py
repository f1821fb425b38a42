"""Live streams: Server-Sent Events at `/api/stream` and a WebSocket at `/api/ws`, with the same messages.

Conventions: `since` is the last line that one has; without it the stream begins with the next. `scores=1` adds each
window's scores and level, `columns=1` the spectrogram. Over SSE a line's id is its number, so a browser that comes back
says by itself where it was (`Last-Event-ID`). Over a WebSocket `MUST_WAIT` closes what cannot be served now.
Source: html.spec.whatwg.org, server-sent events; RFC 6455, and its registry for 1008 and 1013.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from msgspec import UNSET, UnsetType
from starlette.datastructures import Headers
from starlette.types import Receive, Scope, Send

from soundwatch.daemon.web.broadcaster import Broadcaster, Message, Subscriber
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.query_params import parse_query
from soundwatch.daemon.web.schemas import Query, Seq

MUST_WAIT: Final = 1013  # try again later
NOT_ASKED: Final = 1008  # policy: nobody is to send anything
RETRY_MS: Final = 2000


class StreamQuery(Query, frozen=True, kw_only=True):
    """What to send.

    Attributes:
        since: The last line that one has.
        scores: Whether to send each window's scores and level.
        columns: Whether to send the spectrogram.
    """

    since: Seq | UnsetType = UNSET
    scores: bool = False
    columns: bool = False


class Streams:
    """Both kinds.

    Args:
        hub: Who watches.
        view: What there is to see.
    """

    def __init__(self, hub: Broadcaster, view: WebContext) -> None:
        self._hub = hub
        self._view = view

    async def events(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Server-Sent Events.

        Raises:
            Refusal: The query is wrong, or there are too many viewers.
        """
        viewer = self._viewer(scope, Headers(scope=scope).get("last-event-id"))
        if self._hub.full:
            raise RequestRefused(503, "Too many are watching; try again later.", {"Retry-After": "10"})
        headers = [(b"content-type", b"text/event-stream; charset=utf-8"), (b"x-accel-buffering", b"no")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

        async def send_one(message: Message) -> None:
            await send({"type": "http.response.body", "body": _sse(message), "more_body": True})

        await self._pump(viewer, send_one, _gone(receive))
        with contextlib.suppress(OSError):
            await send({"type": "http.response.body", "body": b""})

    async def socket(self, scope: Scope, receive: Receive, send: Send) -> None:
        """A WebSocket.

        Raises:
            Refusal: The query is wrong.
        """
        viewer = self._viewer(scope, None)
        await receive()  # its wish to connect
        await send({"type": "websocket.accept"})
        if self._hub.full:
            await send({"type": "websocket.close", "code": MUST_WAIT, "reason": "too many are watching"})
            return

        async def send_one(message: Message) -> None:
            await send({"type": "websocket.send", "text": message.data.decode()})

        if await self._pump(viewer, send_one, _spoke(receive)):
            await send({"type": "websocket.close", "code": NOT_ASKED, "reason": "this socket only sends"})

    async def _pump(
        self, viewer: Subscriber, send_one: Callable[[Message], Awaitable[None]], gone: Awaitable[bool]
    ) -> bool:
        """Send until he is gone, or the program ends; what `gone` says of him."""

        async def send_all() -> None:
            async for message in self._hub.messages(viewer):
                await send_one(message)

        with self._hub.watching(viewer):
            tasks = asyncio.create_task(send_all()), asyncio.ensure_future(gone)
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
        sending, leaving = tasks
        if not sending.cancelled() and isinstance(sending.exception(), Exception):
            with contextlib.suppress(OSError):  # uvicorn's way to say that he has gone
                sending.result()
        return not leaving.cancelled() and leaving.exception() is None and leaving.result()

    def _viewer(self, scope: Scope, last_event_id: str | None) -> Subscriber:
        query = parse_query(scope["query_string"], StreamQuery)
        since = query.since
        if last_event_id is not None:
            try:
                since = msgspec.convert(last_event_id, Seq, strict=False)
            except msgspec.ValidationError:
                raise RequestRefused(400, "Last-Event-ID is no line's number.") from None
        seq = self._view.journal.last_seq if isinstance(since, UnsetType) else since
        return Subscriber(seq, scores=query.scores, columns=query.columns)


async def _gone(receive: Receive) -> bool:
    """Wait until an HTTP client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass
    return False


async def _spoke(receive: Receive) -> bool:
    """Wait until a WebSocket's client has gone, or said something though nobody asked him to."""
    return bool((await receive())["type"] == "websocket.receive")


def _sse(message: Message) -> bytes:
    """A message as SSE has it: lines without a name, so that `onmessage` gets them; all else by its kind."""
    if message.kind == "heartbeat":
        return b": heartbeat\n\n"
    head = f"id: {message.seq}\n" if message.kind == "line" else f"event: {message.kind}\n"
    if message.kind == "welcome":
        head = f"retry: {RETRY_MS}\n{head}"
    return head.encode() + b"data: " + message.data + b"\n\n"
