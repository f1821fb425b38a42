"""Runs the server in a thread with a loop of its own.

Conventions: it is bound before the first sound is heard, so that a port that is taken is an error at the start. Its
thread sleeps while nobody asks.
Does not: write an access log. What fails is said in the diary, without addresses of visitors or what they sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final

import uvicorn
from starlette.routing import Route as Path
from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from soundwatch.daemon.core.errors import SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.sinks.context import SinkSpec
from soundwatch.daemon.web.api import api_paths
from soundwatch.daemon.web.broadcaster import Broadcaster
from soundwatch.daemon.web.context import WebContext
from soundwatch.daemon.web.latency import LatencyHistograms
from soundwatch.daemon.web.login import LoginHandler
from soundwatch.daemon.web.metrics import Metrics
from soundwatch.daemon.web.middleware import MOST_HEAD_BYTES, SecurityMiddleware
from soundwatch.daemon.web.settings import Settings, parse_settings
from soundwatch.daemon.web.static_files import StaticFiles
from soundwatch.daemon.web.streams import Streams
from soundwatch.daemon.web.timeouts import TimeoutHttpProtocol, TimeoutWebSocketProtocol

MOST_CONNECTIONS: Final = 100
MOST_MESSAGE_BYTES: Final = 1024
PING_S: Final = 20.0
CLOSING_S: Final = 3.0
LOOKING: Final = 2  # threads that look into the journal's file


@contextlib.contextmanager
def serve(spec: SinkSpec, view: WebContext) -> Iterator[str]:
    """Serve while this lasts.

    Yields:
        The address, for a browser.

    Raises:
        ConfigError: The address or a token is wrong.
        SinkError: It cannot be listened at.
    """
    settings = parse_settings(spec, view.sink_context.node, os.environ)
    view = replace(view, token_wanted=settings.token is not None)
    listener = _bound(settings)
    hub, delays = Broadcaster(view), LatencyHistograms()
    app = SecurityMiddleware(_app(view, hub, delays, settings), settings, view.sink_context.log)
    server = _Server(app, hub, view.sink_context.log)
    thread = threading.Thread(target=server.run_in_thread, args=(listener,), name="web", daemon=True)
    leave = view.sink_context.live.watch(delays.take)
    thread.start()
    try:
        host, port = listener.getsockname()[:2]
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        leave()
        server.stop()
        thread.join(CLOSING_S)


def _app(view: WebContext, hub: Broadcaster, delays: LatencyHistograms, settings: Settings) -> ASGIApp:
    pages, door, streams = StaticFiles(), LoginHandler(settings), Streams(hub, view)
    return Router(
        [
            Path("/", pages.index, methods=["GET"]),
            Path("/login", pages.login, methods=["GET"]),
            Path("/login", door.enter, methods=["POST"]),
            Path("/logout", door.leave, methods=["POST"]),
            Path("/static/{name}", pages.file, methods=["GET"]),
            Path("/api/stream", _Raw(streams.events), methods=["GET"]),
            WebSocketRoute("/api/ws", _Raw(streams.socket)),
            *api_paths(view, Metrics(view, delays)),
        ],
        redirect_slashes=False,
    )


class _Raw:
    """An endpoint that speaks ASGI: Starlette takes functions for something else, and objects as they are."""

    def __init__(self, answer: Callable[[Scope, Receive, Send], object]) -> None:
        self._answer = answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._answer(scope, receive, send)  # type: ignore[misc]  # it is a coroutine function


def _bound(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    try:
        return socket.create_server((settings.host, settings.port), family=family)
    except (OSError, OverflowError) as error:
        raise SinkError(
            f"{settings.url} cannot be listened at: {getattr(error, 'strerror', None) or error}. If another program "
            f"has this port, perhaps another soundwatch, give another one with -F http://{settings.host}:PORT."
        ) from error


class _Server(uvicorn.Server):
    """uvicorn's server, which here sleeps until it is stopped instead of waking ten times a second."""

    def __init__(self, app: ASGIApp, hub: Broadcaster, log: Logger) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=TimeoutHttpProtocol,
                ws=TimeoutWebSocketProtocol,
                ws_max_size=MOST_MESSAGE_BYTES,
                ws_ping_interval=PING_S,
                ws_ping_timeout=PING_S,
                ws_per_message_deflate=False,
                lifespan="off",
                interface="asgi3",
                log_config=None,
                log_level="critical",
                access_log=False,
                proxy_headers=False,
                server_header=False,
                date_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                h11_max_incomplete_event_size=MOST_HEAD_BYTES,
                timeout_graceful_shutdown=1,
            )
        )
        self._hub = hub
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = threading.Event()
        self._wake = asyncio.Event()

    def run_in_thread(self, listener: socket.socket) -> None:
        """The thread."""
        try:
            asyncio.run(self._run(listener))
        except Exception as error:  # noqa: BLE001  # the page may fail; the daemon may not
            self._log.warning("the page has stopped", error=f"{type(error).__name__}: {error}")
        finally:
            listener.close()

    def stop(self) -> None:
        """Have the thread end. For any thread."""
        self._stopped.set()
        with contextlib.suppress(RuntimeError):  # its loop is closed already
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._wake.set)

    async def main_loop(self) -> None:
        """Sleep until it is stopped."""
        await self._wake.wait()
        self._hub.close()

    async def _run(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(LOOKING, "web"))
        if self._stopped.is_set():
            return
        await self.serve(sockets=[listener])
