"""Runs the web server in a thread with an event loop.

Conventions: the socket is bound before the sources are opened, so that an occupied port is an error at the start. The
thread sleeps between requests.
Does not: write an access log. Errors are logged without the addresses of clients and without the data they sent.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import socket
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any, Final

import uvicorn
from starlette.exceptions import HTTPException
from starlette.routing import Route as Path
from starlette.routing import Router, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from soundwatch.daemon.core.network.loopback import is_loopback
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.spec import SinkSpec
from soundwatch.daemon.web.api.endpoints import api_paths, source_path
from soundwatch.daemon.web.api.metrics import Metrics
from soundwatch.daemon.web.http.bound_socket import bound_socket
from soundwatch.daemon.web.http.limited_listener import LimitedListener, connections_within
from soundwatch.daemon.web.http.login import LoginHandler
from soundwatch.daemon.web.http.middleware import MAX_HEAD_BYTES, SecurityMiddleware
from soundwatch.daemon.web.http.settings import Settings, parse_settings
from soundwatch.daemon.web.http.timeouts import (
    MAX_CLIENT_CONNECTIONS,
    MAX_CONNECTIONS,
    ServerConfig,
    TimeoutHttpProtocol,
    TimeoutWebSocketProtocol,
)
from soundwatch.daemon.web.http.tls import RenewedContext, validity_fault
from soundwatch.daemon.web.live.broadcaster import Broadcaster
from soundwatch.daemon.web.live.latency import LatencyHistograms
from soundwatch.daemon.web.live.listening import Listening
from soundwatch.daemon.web.live.recent import RecentWindows
from soundwatch.daemon.web.live.streams import Streams
from soundwatch.daemon.web.static_files import StaticFiles

BACKLOG: Final = 32
ANSWERED_CONNECTIONS: Final = 8  # at one time, beyond the limits
MAX_MESSAGE_BYTES: Final = 1024
LOG_INTERVAL_S: Final = 60.0
PING_S: Final = 20.0
CLOSING_S: Final = 3.0
CLOSING_ROUNDS: Final = 5  # of the event loop: an accepted socket gets its transport in the second one
HANDSHAKE_S: Final = 5.0
TLS_END_S: Final = 5.0
HANDLER_THREADS: Final = 2  # for handlers that read the journal file


@contextlib.contextmanager
def serve(spec: SinkSpec, view: DaemonView) -> Iterator[str]:
    """Run the server within this context.

    Yields:
        URL of the page.

    Raises:
        ConfigError: The address or the token is invalid.
        SinkError: The address cannot be bound.
    """
    not_renewed = _RateLimitedLog(view.log, "token_not_renewed")
    settings = parse_settings(spec, view.node, os.environ, lambda error: not_renewed.add(error=error))
    listener = bound_socket(settings)
    settings = replace(settings, port=listener.getsockname()[1])
    recent, latencies = RecentWindows(lambda: view.model().contract.features), LatencyHistograms()
    broadcaster, listening = Broadcaster(view, recent), Listening(view, settings)
    app = SecurityMiddleware(_app(view, broadcaster, listening, latencies, settings), settings, view.log)
    server = _Server(app, (broadcaster.close, listening.close), view.log, settings)
    listener = server.limit(listener)
    thread = threading.Thread(target=server.run_in_thread, args=(listener,), name="web", daemon=True)
    unsubscribe = view.live.subscribe(latencies.observe), view.live.subscribe(recent.observe, features=True)
    thread.start()
    try:
        yield replace(settings, host=listener.getsockname()[0]).url
    finally:
        for end in unsubscribe:
            end()
        server.stop()
        thread.join(CLOSING_S)


def _app(
    view: DaemonView, broadcaster: Broadcaster, listening: Listening, latencies: LatencyHistograms, settings: Settings
) -> ASGIApp:
    static_files, login, streams = StaticFiles(), LoginHandler(settings), Streams(broadcaster, view)
    return Router(
        [
            Path("/", static_files.index, methods=["GET"]),
            Path("/login", static_files.login, methods=["GET"]),
            Path("/login", login.log_in, methods=["POST"]),
            Path("/logout", login.log_out, methods=["POST"]),
            Path("/worker.js", static_files.worker, methods=["GET"]),
            Path("/static/{name}", static_files.file, methods=["GET"]),
            Path("/api/stream", _Raw(streams.events), methods=["GET"]),
            Path(source_path("/api/sources/{name}/listen"), _Raw(listening.listen), methods=["GET"]),
            WebSocketRoute("/api/ws", _Raw(streams.socket)),
            *api_paths(view, Metrics(view, latencies), settings),
        ],
        redirect_slashes=False,
    )


class _Raw:
    """An ASGI endpoint without an end; Starlette would wrap a plain function as a request handler.

    `HEAD`, which Starlette allows with `GET`, is refused: it would hold a stream or listen to a source.
    """

    def __init__(self, endpoint: Callable[[Scope, Receive, Send], Awaitable[None]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope.get("method") == "HEAD":
            raise HTTPException(405, headers={"Allow": "GET"})
        await self._endpoint(scope, receive, send)


class _RateLimitedLog:
    """A warning that is logged at most once in `LOG_INTERVAL_S`, with the count since the last one."""

    def __init__(self, log: Logger, event: str) -> None:
        self._log = log
        self._event = event
        self._count = 0
        self._due_s = 0.0

    def add(self, **fields: object) -> None:
        """Count one occurrence, and log if the interval is over."""
        self._count += 1
        if time.monotonic() >= self._due_s:
            self._log.warning(self._event, count=self._count, **fields)
            self._count, self._due_s = 0, time.monotonic() + LOG_INTERVAL_S


def _error_text(context: dict[str, Any]) -> str:
    """Return the error of an event loop in one line, as when no file descriptor is left to accept a connection."""
    error = context.get("exception")
    return f"{context['message']}: {type(error).__name__}: {error}" if error else str(context["message"])


class _Server(uvicorn.Server):
    """uvicorn's server without its wake-up ten times a second."""

    def __init__(self, app: ASGIApp, closing: Sequence[Callable[[], None]], log: Logger, settings: Settings) -> None:
        files = settings.tls
        self._settings = settings
        self._refused = _RateLimitedLog(log, "connections_refused")
        self._not_renewed = _RateLimitedLog(log, "certificate_not_renewed")
        self._tls = None if files is None else RenewedContext(files, lambda error: self._not_renewed.add(error=error))
        if files is not None and (fault := validity_fault(files)) is not None:
            log.warning("certificate_not_valid", file=str(files.certificate), error=fault)
        self._errors = _RateLimitedLog(log, "web_server_error")
        super().__init__(
            ServerConfig(
                app,
                self._refused.add,
                self._is_exempt,
                http=TimeoutHttpProtocol,
                ws=TimeoutWebSocketProtocol,
                ws_max_size=MAX_MESSAGE_BYTES,
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
                backlog=BACKLOG,
                h11_max_incomplete_event_size=MAX_HEAD_BYTES,
                timeout_graceful_shutdown=1,
            )
        )
        self._closing = closing
        self._log = log
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped = threading.Event()
        self._stopping = asyncio.Event()

    def limit(self, listener: socket.socket) -> LimitedListener:
        """Return the socket with limits on connections that count when one is accepted.

        Those of TLS count before the handshake. Without TLS, a few more are accepted, and get an answer.
        """
        answered = ANSWERED_CONNECTIONS if self._tls is None else 0
        limit = connections_within(MAX_CONNECTIONS) + answered
        return LimitedListener(listener, limit, MAX_CLIENT_CONNECTIONS + answered, self._is_exempt, self._refused.add)

    def run_in_thread(self, listener: socket.socket) -> None:
        """Run the server; the target of its thread."""
        try:
            asyncio.run(self._run(listener))
        except Exception as error:  # noqa: BLE001  # an error of the server must not end the daemon
            self._log.warning("web_server_failed", error=f"{type(error).__name__}: {error}")
        finally:
            listener.close()

    def stop(self) -> None:
        """Stop the server; safe in any thread."""
        self._stopped.set()
        with contextlib.suppress(RuntimeError):  # the loop is already closed
            if self._loop is not None:
                self._loop.call_soon_threadsafe(self._stopping.set)

    async def main_loop(self) -> None:
        """Wait until `stop` is called."""
        await self._stopping.wait()
        await self._stop_accepting()
        for close in self._closing:  # streams end before the connections
            close()

    async def _stop_accepting(self) -> None:
        """Accept nothing more, and let accepted sockets get their transports, which a closed server refuses them."""
        loop = asyncio.get_running_loop()
        with contextlib.suppress(NotImplementedError):  # an event loop that does not watch sockets
            for listener in (socket_ for server in self.servers for socket_ in server.sockets):
                loop.remove_reader(listener.fileno())
        for _ in range(CLOSING_ROUNDS):
            await asyncio.sleep(0)

    def _is_exempt(self, address: str) -> bool:
        """Return True for a client that may stand for many: a proxy, or a program of this machine."""
        return is_loopback(address) or self._settings.names_clients(address)

    def _use_tls(self, loop: asyncio.AbstractEventLoop, context: ssl.SSLContext) -> None:
        """Serve TLS with limits on the time of a handshake and of the end of a connection."""
        create = functools.partial(
            loop.create_server, ssl_handshake_timeout=HANDSHAKE_S, ssl_shutdown_timeout=TLS_END_S
        )
        setattr(loop, "create_server", create)  # noqa: B010  # uvicorn has no option for these
        self.config.load()
        self.config.ssl = context

    async def _run(self, listener: socket.socket) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_exception_handler(lambda _, context: self._errors.add(error=_error_text(context)))
        self._loop.set_default_executor(ThreadPoolExecutor(HANDLER_THREADS, "web"))
        if self._stopped.is_set():
            return
        if self._tls is not None:
            self._use_tls(self._loop, self._tls.context)
        try:
            await self.serve(sockets=[listener])
        finally:
            await self._abort_connections()

    async def _abort_connections(self) -> None:
        """Close what is still open after the time for a graceful end, or was accepted last."""
        for _ in range(CLOSING_ROUNDS):
            for connection in list(self.server_state.connections):
                connection.transport.abort()
            await asyncio.sleep(0)
