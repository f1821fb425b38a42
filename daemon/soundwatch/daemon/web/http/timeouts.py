"""uvicorn's HTTP and WebSocket protocols, with limits on connections and on the time to send or to read.

Conventions: a connection beyond `MAX_CONNECTIONS`, or beyond `MAX_CLIENT_CONNECTIONS` of one client, is refused when
it is accepted, before a request is read; with TLS, and with many at one time, unanswered (`limited_listener.py`).
Loopback clients and proxies that name their clients share the total limit only, since they may stand for many. A
WebSocket client that reads too slowly is closed with 1013 after its unread data. An HTTP client that reads too slowly
is disconnected; a browser then resumes its event stream by itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from soundwatch.daemon.web.http.limited_listener import connections_within
from soundwatch.daemon.web.http.rate_limit import client_key

MAX_CONNECTIONS: Final = 100
MAX_CLIENT_CONNECTIONS: Final = 32
REQUEST_S: Final = 10.0
WRITE_S: Final = 10.0
LINGER_S: Final = 20.0
TRY_AGAIN_LATER: Final = 1013


_TOO_MANY: Final = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
)


class Timeout:
    """A timer that can be restarted and canceled."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """The timer runs."""
        return self._timer is not None

    def set(self, loop: asyncio.AbstractEventLoop, after_s: float, callback: Callable[[], object]) -> None:
        """Start the timer, or restart it."""
        self.cancel()
        self._timer = loop.call_later(after_s, callback)

    def cancel(self) -> None:
        """Stop the timer."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ServerConfig(uvicorn.Config):
    """uvicorn's configuration with a callback.

    Args:
        app: ASGI application.
        on_refused: Called in the event loop for each refused connection.
        is_exempt: Returns True for the address of a client without a limit of its own.
        options: Options of uvicorn.
    """

    def __init__(
        self, app: ASGIApp, on_refused: Callable[[], object], is_exempt: Callable[[str], bool], **options: Any
    ) -> None:
        super().__init__(app, **options)
        self.on_refused = on_refused
        self.is_exempt = is_exempt


class TimeoutHttpProtocol(H11Protocol):
    """HTTP/1.1 with limits on connections, on the time for a request head and on the time for a blocked write."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """Refuse the connection if there are too many; otherwise start the request timeout."""
        super().connection_made(transport)
        self._request_timeout, self._write_timeout = Timeout(), Timeout()
        if self._exceeds_limit():
            assert isinstance(self.config, ServerConfig)
            self.config.on_refused()
            transport.write(_TOO_MANY)
            transport.close()
            return
        self._request_timeout.set(self.loop, REQUEST_S, self._abort_if_idle)

    def data_received(self, data: bytes) -> None:
        """Stop the request timeout once the head is complete; further partial data does not restart the timeout."""
        if self.transport.is_closing():
            return
        super().data_received(data)
        if not self._awaits_head():
            self._request_timeout.cancel()
        elif not self._request_timeout.is_set:
            self._request_timeout.set(self.loop, REQUEST_S, self._abort_if_idle)

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel both timeouts."""
        self._request_timeout.cancel()
        self._write_timeout.cancel()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the write timeout when the client stops reading."""
        super().pause_writing()
        self._write_timeout.set(self.loop, WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Cancel the write timeout when the client reads again."""
        self._write_timeout.cancel()
        super().resume_writing()

    def _exceeds_limit(self) -> bool:
        if len(self.connections) > connections_within(MAX_CONNECTIONS):
            return True
        address = self.client[0] if self.client else ""
        assert isinstance(self.config, ServerConfig)
        if self.config.is_exempt(address):
            return False
        client = client_key(address)
        others = (getattr(connection, "client", None) for connection in self.connections)
        return sum(other is not None and client_key(other[0]) == client for other in others) > MAX_CLIENT_CONNECTIONS

    def _awaits_head(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # None before the first request, unlike uvicorn's annotation
        if self.transport.get_protocol() is not self:  # the connection was upgraded to a WebSocket
            return False
        return cycle is None or cycle.response_complete

    def _abort_if_idle(self) -> None:
        if self._awaits_head():
            self.transport.abort()


class TimeoutWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket with a limit on the time for a blocked write."""

    _write_timeout: Timeout | None = None

    def pause_writing(self) -> None:
        """Start the write timeout when the client stops reading."""
        super().pause_writing()
        self._write_timeout = self._write_timeout or Timeout()
        self._write_timeout.set(self.loop, WRITE_S, self._close_slow_client)

    def resume_writing(self) -> None:
        """Cancel the write timeout when the client reads again."""
        if self._write_timeout is not None and not self.close_sent:
            self._write_timeout.cancel()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the write timeout."""
        if self._write_timeout is not None:
            self._write_timeout.cancel()
        super().connection_lost(exc)

    def _close_slow_client(self) -> None:
        """Send a close frame after the unread data, and abort the connection after `LINGER_S`."""
        assert self._write_timeout is not None
        self.stop_keepalive()
        if not self.close_sent:
            self.conn.send_close(TRY_AGAIN_LATER, "too slow")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self._write_timeout.set(self.loop, LINGER_S, self.transport.abort)
        self.transport.close()
