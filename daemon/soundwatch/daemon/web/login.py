"""The login form: a browser gives the token once and gets a cookie."""

from __future__ import annotations

import time
from typing import Final
from urllib.parse import parse_qs

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from soundwatch.daemon.web.middleware import RequestRefused
from soundwatch.daemon.web.rate_limit import RateLimiter
from soundwatch.daemon.web.session import COOKIE, COOKIE_S, cookie_value, is_token
from soundwatch.daemon.web.settings import Settings

TRIES_A_SECOND: Final = 0.1
TRIES_AT_ONCE: Final = 5


class LoginHandler:
    """Lets in who knows the token.

    Args:
        settings: Which has it.
    """

    def __init__(self, settings: Settings) -> None:
        self._token = settings.token
        self._rates = RateLimiter(TRIES_A_SECOND, TRIES_AT_ONCE)

    async def enter(self, request: Request) -> Response:
        """Take what the form sends.

        Raises:
            Refusal: It was tried too often.
        """
        if self._rates.take(request.client.host if request.client else "", time.monotonic()):
            raise RequestRefused(429, "Too many tries; wait a little.", {"Retry-After": str(round(1 / TRIES_A_SECOND))})
        if self._token is None:
            return RedirectResponse("/", 303)
        form = parse_qs((await request.body()).decode("utf-8", "replace"), max_num_fields=5)
        if not is_token(form.get("token", [""])[0].strip(), self._token):
            return RedirectResponse("/login?wrong", 303)
        answer = RedirectResponse("/", 303)
        value = cookie_value(self._token, int(time.time()))
        secure = request.headers.get("x-forwarded-proto") == "https"  # only ever makes it stricter
        answer.set_cookie(COOKIE, value, COOKIE_S, httponly=True, samesite="strict", secure=secure)
        return answer

    async def leave(self, request: Request) -> Response:
        """Take the cookie back."""
        del request
        answer = RedirectResponse("/login", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="strict")
        return answer
