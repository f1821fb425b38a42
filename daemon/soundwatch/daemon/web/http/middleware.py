"""Security checks of every request, before any endpoint handles it.

Conventions: a refusal is one sentence. The checks, in this order: the client's request rate, the `Host`
header (against DNS rebinding), the origin of the requesting page (`Origin`, `Sec-Fetch-Site`), the token, and the size
of the request. A proxy that checks its users (`,proxy=ADDRESS`) needs no token, may send any `Host`, and names the
browser's in `X-Forwarded-Host`; a proxy on loopback has to send a known `Host`, since browsers of this machine have its
address. With such a proxy and no token, requests of others are refused. The limits of request rate and of open requests
hold for each client of such a proxy, or of one in `,trusted_proxies=ADDRESS`, by the last address in `X-Forwarded-For`.
Without the header, the first kind has no limit, and the second kind the rate of one client.
Rule: pages of other sites may link to this server, but may not send other requests.
Source: fetch.spec.whatwg.org and w3.org/TR/fetch-metadata for the headers; browsers set them, scripts cannot.
"""

from __future__ import annotations

import asyncio
import math
import time
from typing import Final
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.core.network.loopback import is_loopback, parse_ip
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.web.http.rate_limit import OpenRequests, RateLimiter
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.daemon.web.http.refusal_response import send_refusal
from soundwatch.daemon.web.http.session import cookie_name, is_cookie, is_token
from soundwatch.daemon.web.http.settings import Settings

MAX_HEAD_BYTES: Final = 16_384
MAX_BODY_BYTES: Final = 4096
BODY_S: Final = 10.0
REQUEST_RATE_HZ: Final = 100
REQUEST_BURST: Final = 300
MAX_CLIENT_REQUESTS: Final = 32
_HTTP_ERRORS: Final = {404: "This path does not exist.", 405: "This path does not support this method."}
OPEN_PATHS: Final = ("/login", "/static/", "/worker.js")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self' blob:; connect-src 'self'; manifest-src 'self'; worker-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with no-referrer, the own forms would have the origin `null`
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class SecurityMiddleware:
    """ASGI middleware that passes requests to `app` or refuses them.

    Args:
        app: Application behind the checks.
        settings: Addresses, names and token.
        log: The log.
    """

    def __init__(self, app: ASGIApp, settings: Settings, log: Logger) -> None:
        self._app = app
        self._settings = settings
        self._log = log
        self._headers = _response_headers(settings)
        self._rates = RateLimiter(REQUEST_RATE_HZ, REQUEST_BURST)
        self._requests = OpenRequests(MAX_CLIENT_REQUESTS)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one request."""
        started, token = False, self._settings.token

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if started and self._settings.token != token:
                raise ClientDisconnect  # a stream to a client that may not know the new token
            started = started or message["type"] in ("http.response.start", "websocket.accept")
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            with self._requests.counted(forwarded_client(scope, self._settings)) as within_limit:
                self._check(scope, within_limit=within_limit)
                # with `app` in the scope, the router raises HTTPException for an unknown path
                await self._app({**scope, "app": self}, _limit_body(receive), send_guarded)
        except RequestRefused as refusal:
            await send_refusal(scope, send_guarded, refusal)
        except HTTPException as error:
            text = _HTTP_ERRORS.get(error.status_code, error.detail)
            await send_refusal(scope, send_guarded, RequestRefused(error.status_code, text, dict(error.headers or {})))
        except ClientDisconnect:  # the client disconnected while sending, or the token was replaced
            return
        except Exception as error:  # noqa: BLE001  # an error of a request must not end the server
            self._log.warning("request_failed", path=scope["path"], error=f"{type(error).__name__}: {error}")
            if not started:
                await send_refusal(
                    scope, send_guarded, RequestRefused(500, Sentence("The request failed; the log has the reason."))
                )

    def _check(self, scope: Scope, *, within_limit: bool) -> None:
        """Check one request, and whether its client has no more open requests than it may.

        Raises:
            RequestRefused: A check failed.
        """
        headers, settings = Headers(scope=scope), self._settings
        client = (scope.get("client") or ("",))[0]
        proxied = settings.is_proxy(client)
        limited = forwarded_client(scope, settings) or (None if proxied else client)
        wait_s = 0.0 if limited is None else self._rates.take(limited, time.monotonic())
        if wait_s:
            raise RequestRefused(
                429, Sentence("There were too many requests; wait a little."), {"Retry-After": str(math.ceil(wait_s))}
            )
        if not within_limit:
            raise RequestRefused(503, Sentence("This client has too many open requests."), {"Retry-After": "10"})
        if not proxied and settings.proxies and settings.token is None:
            raise RequestRefused(403, Sentence("Only the proxy may send requests to this address."))
        any_host = proxied and not is_loopback(client)  # a browser of this machine has the address of a proxy here
        if len(headers.getlist("host")) != 1 or not (any_host or settings.accepts_host(_host_name(headers["host"]))):
            raise RequestRefused(
                421, "The Host header does not name this server. If it should, add the name with ,host=NAME."
            )
        _check_origin(scope, headers, settings, forwarded=any_host)
        if settings.token is not None and not proxied:
            _check_token(scope, headers, settings)
        _check_size(scope, headers)


def forwarded_client(scope: Scope, settings: Settings) -> str | None:
    """Return the client that a trusted proxy names; None for another request."""
    address = (scope.get("client") or ("",))[0]
    return _last_forwarded(Headers(scope=scope)) if settings.names_clients(address) else None


def _last_forwarded(headers: Headers) -> str | None:
    """Return the client of a proxy, which adds its address at the end of `X-Forwarded-For`; None for an unknown one.

    Some proxies add the port: `192.0.2.1:4711`, `[2001:db8::1]:4711`.
    """
    text = ",".join(headers.getlist("x-forwarded-for")).rpartition(",")[2].strip()
    address = parse_ip(text) or parse_ip(_host_name(text))
    return None if address is None else str(address)


def _response_headers(settings: Settings) -> dict[str, str]:
    """Return the headers of every response; only the configured origins may frame the page."""
    if not settings.may_be_framed:
        return HEADERS
    ancestors = " ".join(("'self'", *settings.frame_ancestors))
    policy = HEADERS["Content-Security-Policy"].replace("frame-ancestors 'none'", f"frame-ancestors {ancestors}")
    others = {name: value for name, value in HEADERS.items() if name != "X-Frame-Options"}  # has no list of origins
    return others | {"Content-Security-Policy": policy}


def _check_origin(scope: Scope, headers: Headers, settings: Settings, *, forwarded: bool) -> None:
    """Check that no page of another site sent the request.

    Raises:
        RequestRefused: A page of another site sent it.
    """
    origin = headers.get("origin")
    host = headers.get("x-forwarded-host", headers["host"]) if forwarded else headers["host"]
    if origin is not None and not _is_own_origin(origin, host, settings):
        raise RequestRefused(403, Sentence("Pages of other sites may not send this request."))
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return
    is_link = (
        scope["type"] == "http"
        and scope["method"] == "GET"
        and headers.get("sec-fetch-dest") in (("document", "iframe") if settings.may_be_framed else ("document",))
    )
    if not is_link or scope["path"].startswith("/api/"):
        raise RequestRefused(403, Sentence("Pages of other sites may not send this request."))


def _check_token(scope: Scope, headers: Headers, settings: Settings) -> None:
    """Check that the request has the token, or a cookie that was given for the token.

    Raises:
        RequestRefused: It has neither, and the path is not open to all.
    """
    if scope["path"].startswith(OPEN_PATHS) or is_authenticated(headers, settings):
        return
    if scope["type"] == "http" and scope["path"] == "/":
        raise RequestRefused(303, "Log in first.", {"Location": "login"})
    raise RequestRefused(401, "A token is required: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})


def _check_size(scope: Scope, headers: Headers) -> None:
    """Check the size of the headers, and the declared size of the body.

    Raises:
        RequestRefused: One of them is too long.
    """
    if sum(len(name) + len(value) for name, value in scope["headers"]) > MAX_HEAD_BYTES:
        raise RequestRefused(431, f"At most {MAX_HEAD_BYTES} bytes of headers may be sent.")
    length = headers.get("content-length", "0")
    if not length.isdigit() or int(length) > MAX_BODY_BYTES:
        raise RequestRefused(413, f"At most {MAX_BODY_BYTES} bytes may be sent.")


def _is_own_origin(origin: str, host: str, settings: Settings) -> bool:
    """Check that an origin is the requested host, or the host of the reverse proxy (`,host=NAME`)."""
    try:
        netloc = urlsplit(origin).netloc.lower()
    except ValueError:
        return False
    return netloc == host.lower() or (settings.proxy_host != "" and _host_name(netloc) == settings.proxy_host)


def is_authenticated(headers: Headers, settings: Settings) -> bool:
    """Return whether a request has the token, or a cookie that was given for the token."""
    token, cookie = settings.token, cookie_name(settings.port)
    if token is None:
        return False
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return is_token(given.strip(), token)
    cookies = cookie_parser("; ".join(headers.getlist("cookie")))  # as browsers send them, with those of other programs
    return cookie in cookies and is_cookie(cookies[cookie], token, int(time.time()))


def _host_name(host: str) -> str:
    """Return the name in a `Host` header, without the port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _limit_body(receive: Receive) -> Receive:
    """Wrap `receive` with limits on the size of the body and on the time for it, whatever its declared length."""
    received_bytes = 0
    complete = False

    async def receive_limited() -> Message:
        nonlocal received_bytes, complete
        try:
            message = await (receive() if complete else asyncio.wait_for(receive(), BODY_S))
        except TimeoutError:
            raise RequestRefused(408, f"The body did not arrive within {BODY_S:g} s.") from None
        complete = complete or not message.get("more_body", False)
        received_bytes += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if received_bytes > MAX_BODY_BYTES:
            raise RequestRefused(413, f"At most {MAX_BODY_BYTES} bytes may be sent.")
        return message

    return receive_limited
