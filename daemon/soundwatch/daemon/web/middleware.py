"""The guard at the door: every request passes it before anything else looks at it.

Conventions: a refusal is JSON with one sentence. In this order: the visitor's rate, the `Host` he asked for (a name of
ours, or DNS rebinding could bring a stranger's page here), whose page asks (`PretrainedModel`, `Sec-Fetch-Site`),
whether he knows the token, and how much he sends.
Rule: pages of other sites may link here, and no more.
Source: fetch.spec.whatwg.org and w3.org/TR/fetch-metadata for the headers; browsers set them, scripts cannot.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import urlsplit

import msgspec
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.web.rate_limit import RateLimiter
from soundwatch.daemon.web.schemas import ErrorResponse
from soundwatch.daemon.web.session import COOKIE, is_cookie, is_token
from soundwatch.daemon.web.settings import Settings

MOST_HEAD_BYTES: Final = 16_384
MOST_BODY_BYTES: Final = 4096
BODY_S: Final = 10.0
REQUESTS_A_SECOND: Final = 100
REQUESTS_AT_ONCE: Final = 300
_REFUSED: Final = {404: "There is no such path.", 405: "This path has no such method."}
OPEN_PATHS: Final = ("/login", "/static/")
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "media-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "same-origin",  # with no-referrer our own forms would come from the origin `null`
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class RequestRefused(Exception):  # noqa: N818  # it is no error of the program
    """A request is not answered.

    Args:
        status: HTTP's.
        error: Why, as a sentence.
        headers: What else to say.
    """

    def __init__(self, status: int, error: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(error)
        self.status = status
        self.error = error
        self.headers = headers or {}


class SecurityMiddleware:
    """Lets requests through to `app`, or refuses them.

    Args:
        app: What answers.
        settings: Whom to let in.
        log: The log.
        now_s: A monotonic clock.
    """

    def __init__(
        self, app: ASGIApp, settings: Settings, log: Logger, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        self._app = app
        self._settings = settings
        self._log = log
        self._now_s = now_s
        self._rates = RateLimiter(REQUESTS_A_SECOND, REQUESTS_AT_ONCE)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            started = started or message["type"] in ("http.response.start", "websocket.accept")
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            self._look_at(scope)
            await self._app(
                {**scope, "app": self}, _bounded(receive), send_guarded
            )  # so that a path of no use is raised
        except RequestRefused as refusal:
            await send_refusal(scope, send_guarded, refusal)
        except HTTPException as error:
            text = _REFUSED.get(error.status_code, error.detail)
            await send_refusal(scope, send_guarded, RequestRefused(error.status_code, text, dict(error.headers or {})))
        except ClientDisconnect:  # he has gone in the middle of what he sent
            return
        except Exception as error:  # noqa: BLE001  # the page may fail; the daemon may not
            self._log.warning(
                "a request could not be answered", path=scope["path"], error=f"{type(error).__name__}: {error}"
            )
            if not started:
                await send_refusal(
                    scope, send_guarded, RequestRefused(500, "This could not be answered; the log says why.")
                )

    def _look_at(self, scope: Scope) -> None:
        """Refuse what must not pass.

        Raises:
            Refusal: It must not.
        """
        headers = Headers(scope=scope)
        wait_s = self._rates.take((scope.get("client") or ("",))[0], self._now_s())
        if wait_s:
            raise RequestRefused(429, "Too many requests; wait a little.", {"Retry-After": str(math.ceil(wait_s))})
        if len(headers.getlist("host")) != 1 or not self._settings.is_own(_name_of(headers["host"])):
            raise RequestRefused(421, "This is not the host that was asked for. If it is, name it with ,host=NAME.")
        _look_whose_page_asks(scope, headers)
        token = self._settings.token
        if token is not None and not scope["path"].startswith(OPEN_PATHS) and not _knows(headers, token):
            if scope["type"] == "http" and scope["path"] == "/":
                raise RequestRefused(303, "Log in first.", {"Location": "/login"})
            raise RequestRefused(401, "A token is wanted: Authorization: Bearer TOKEN.", {"WWW-Authenticate": "Bearer"})
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEAD_BYTES:
            raise RequestRefused(431, f"At most {MOST_HEAD_BYTES} bytes of headers may be sent.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > MOST_BODY_BYTES:
            raise RequestRefused(413, f"At most {MOST_BODY_BYTES} bytes may be sent.")


async def send_refusal(scope: Scope, send: Send, refusal: RequestRefused) -> None:
    """Answer a request, or a WebSocket's first, with a refusal."""
    body = msgspec.json.encode(ErrorResponse(error=refusal.error))
    prefix = "websocket.http.response" if scope["type"] == "websocket" else "http.response"
    headers = {"Content-Type": "application/json", "Content-Length": str(len(body))} | refusal.headers
    await send(
        {
            "type": f"{prefix}.start",
            "status": refusal.status,
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
    )
    await send({"type": f"{prefix}.body", "body": b"" if scope.get("method") == "HEAD" else body})


def _look_whose_page_asks(scope: Scope, headers: Headers) -> None:
    """Refuse what another site's page asks for.

    Raises:
        Refusal: It does.
    """
    origin = headers.get("origin")
    if origin is not None and urlsplit(origin).netloc.lower() != headers["host"].lower():
        raise RequestRefused(403, "Pages of other sites may not ask for this.")
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return
    is_link = scope["type"] == "http" and scope["method"] == "GET" and headers.get("sec-fetch-dest") == "document"
    if not is_link or scope["path"].startswith("/api/"):
        raise RequestRefused(403, "Pages of other sites may not ask for this.")


def _knows(headers: Headers, token: str) -> bool:
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer":
        return is_token(given.strip(), token)
    cookies = SimpleCookie()
    try:
        cookies.load(headers.get("cookie", ""))
    except CookieError:
        return False
    return COOKIE in cookies and is_cookie(cookies[COOKIE].value, token, int(time.time()))


def _name_of(host: str) -> str:
    """A `Host` header's name, without its port."""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def _bounded(receive: Receive) -> Receive:
    """What a visitor sends, but no more than is let in, whatever length he told, and not for ever."""
    received_bytes = 0
    whole = False

    async def receive_bounded() -> Message:
        nonlocal received_bytes, whole
        try:
            message = await (receive() if whole else asyncio.wait_for(receive(), BODY_S))
        except TimeoutError:
            raise RequestRefused(408, f"What was to be sent has not come within {BODY_S:g} s.") from None
        whole = whole or not message.get("more_body", False)
        received_bytes += len(message.get("body", b"")) if message["type"] == "http.request" else 0
        if received_bytes > MOST_BODY_BYTES:
            raise RequestRefused(413, f"At most {MOST_BODY_BYTES} bytes may be sent.")
        return message

    return receive_bounded
