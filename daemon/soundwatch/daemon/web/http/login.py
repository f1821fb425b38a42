"""Login form: exchanges the token for a session cookie."""

from __future__ import annotations

import time
from typing import Final, Literal
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from soundwatch.daemon.core.languages.language import Sentence
from soundwatch.daemon.web.http.middleware import forwarded_client
from soundwatch.daemon.web.http.rate_limit import RateLimiter
from soundwatch.daemon.web.http.refusal import RequestRefused
from soundwatch.daemon.web.http.session import COOKIE_S, cookie_name, cookie_value, is_token
from soundwatch.daemon.web.http.settings import Settings

ATTEMPT_RATE_HZ: Final = 0.1
ATTEMPT_BURST: Final = 5


class LoginHandler:
    """Endpoints of the login form.

    Args:
        settings: Settings with the token.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._cookie = cookie_name(settings.port)
        self._framed = settings.may_be_framed
        self._rates = RateLimiter(ATTEMPT_RATE_HZ, ATTEMPT_BURST)

    async def log_in(self, request: Request) -> Response:
        """Check the form's token and set the cookie.

        Raises:
            RequestRefused: There were too many attempts.
        """
        client = forwarded_client(request.scope, self._settings) or (request.client.host if request.client else "")
        if self._rates.take(client, time.monotonic()):
            retry_after = {"Retry-After": str(round(1 / ATTEMPT_RATE_HZ))}
            raise RequestRefused(429, Sentence("There were too many attempts; wait a little."), retry_after)
        token = self._settings.token
        if token is None:
            return _redirect(".")
        form = parse_qs((await request.body()).decode("utf-8", "replace"))
        if not is_token(form.get("token", [""])[0].strip(), token):
            return _redirect("login?wrong")
        response = _redirect(".")
        value = cookie_value(token, int(time.time()))
        samesite, secure = self._restrictions(request)
        response.set_cookie(self._cookie, value, COOKIE_S, httponly=True, samesite=samesite, secure=secure)
        return response

    async def log_out(self, request: Request) -> Response:
        """Delete the cookie."""
        response = _redirect("login")
        samesite, secure = self._restrictions(request)
        response.delete_cookie(self._cookie, httponly=True, samesite=samesite, secure=secure)
        return response

    def _restrictions(self, request: Request) -> tuple[Literal["none", "strict"], bool]:
        """Return `SameSite` and `Secure` of the cookie; a browser in a frame ignores a deletion with others."""
        forwarded = request.headers.get("x-forwarded-proto") == "https"  # a forged header only restricts the cookie
        secure = forwarded or request.url.scheme == "https"
        return "none" if self._framed and secure else "strict", secure  # None requires Secure


def _redirect(location: str) -> Response:
    """Redirect to a relative address, which is right under any path of a reverse proxy."""
    return RedirectResponse(location, 303)
