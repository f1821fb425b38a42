"""uvicorn's two protocols, but neither waits for ever for a request that does not come or a reader who does not read.

Conventions: a WebSocket's reader that is too slow finds 1013 after what he has not read yet, if he reads on; an HTTP
one's connection is cut, and his browser comes back for the rest by itself.
"""

from __future__ import annotations

import asyncio
from typing import Final

from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

REQUEST_S: Final = 10.0
SLOW_S: Final = 10.0
LINGER_S: Final = 20.0
MUST_WAIT: Final = 1013


class Timeout:
    """A timer that is set anew, or taken back."""

    def __init__(self) -> None:
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_set(self) -> bool:
        """Whether it runs."""
        return self._timer is not None

    def set(self, loop: asyncio.AbstractEventLoop, after_s: float, what: object) -> None:
        """Have `what` called unless it is taken back before."""
        self.take_back()
        assert callable(what)
        self._timer = loop.call_later(after_s, what)

    def take_back(self) -> None:
        """Have nothing called."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class TimeoutHttpProtocol(H11Protocol):
    """HTTP/1.1."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's own
        """A client has come; he has so long to say what he wants."""
        super().connection_made(transport)
        self._silence, self._slowness = Timeout(), Timeout()
        self._silence.set(self.loop, REQUEST_S, self._cut_if_silent)

    def data_received(self, data: bytes) -> None:
        """He says something; a head that he has begun has to end in time, however often he says a little of it."""
        super().data_received(data)
        if not self._awaits_a_head():
            self._silence.take_back()
        elif not self._silence.is_set:
            self._silence.set(self.loop, REQUEST_S, self._cut_if_silent)

    def connection_lost(self, exc: Exception | None) -> None:
        """He has gone."""
        self._silence.take_back()
        self._slowness.take_back()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """He reads too slowly."""
        super().pause_writing()
        self._slowness.set(self.loop, SLOW_S, self.transport.abort)

    def resume_writing(self) -> None:
        """He reads on."""
        self._slowness.take_back()
        super().resume_writing()

    def _awaits_a_head(self) -> bool:
        cycle: RequestResponseCycle | None = self.cycle  # uvicorn has None here before the first, and says otherwise
        if self.transport.get_protocol() is not self:  # it is a WebSocket's by now
            return False
        return cycle is None or cycle.response_complete

    def _cut_if_silent(self) -> None:
        if self._awaits_a_head():
            self.transport.abort()


class TimeoutWebSocketProtocol(WebSocketsSansIOProtocol):
    """WebSocket."""

    _slowness: Timeout | None = None

    def pause_writing(self) -> None:
        """He reads too slowly."""
        super().pause_writing()
        self._slowness = self._slowness or Timeout()
        self._slowness.set(self.loop, SLOW_S, self._drop)

    def resume_writing(self) -> None:
        """He reads on."""
        if self._slowness is not None and not self.close_sent:
            self._slowness.take_back()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """He has gone."""
        if self._slowness is not None:
            self._slowness.take_back()
        super().connection_lost(exc)

    def _drop(self) -> None:
        """Tell him after what he has not read, and wait no longer for that than `LINGER_S`."""
        assert self._slowness is not None
        self.stop_keepalive()
        if not self.close_sent:
            self.conn.send_close(MUST_WAIT, "too slow")
            self.transport.write(b"".join(self.conn.data_to_send()))
            self.close_sent = True
        self._slowness.set(self.loop, LINGER_S, self.transport.abort)
        self.transport.close()
