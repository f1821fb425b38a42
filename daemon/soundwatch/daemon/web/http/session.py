"""Token check and session cookie.

Conventions: the cookie is its expiry time, signed with the token. A cookie therefore stays valid over restarts, becomes
invalid when the token changes, and does not reveal the token. All comparisons take constant time.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

from soundwatch.daemon.core.time.clock import DAY_S

_COOKIE: Final = "soundwatch_session"
COOKIE_S: Final = 30 * DAY_S


def cookie_name(port: int) -> str:
    """Return the name of the cookie; a browser sends the cookies of a host to all its ports."""
    return f"{_COOKIE}_{port}"


def is_token(given: str, token: str) -> bool:
    """Compare a given text with the token."""
    return hmac.compare_digest(_digest(given), _digest(token))


def cookie_value(token: str, now_unix_s: int) -> str:
    """Return a new cookie's value."""
    until_unix_s = now_unix_s + COOKIE_S
    return f"{until_unix_s}.{_signature(until_unix_s, token)}"


def is_cookie(value: str, token: str, now_unix_s: int) -> bool:
    """Check a cookie's signature and expiry time."""
    until, _, signature = value.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    return hmac.compare_digest(signature.encode(), _signature(int(until), token).encode()) and now_unix_s < int(until)


def _signature(until_unix_s: int, token: str) -> str:
    return hmac.new(token.encode(), f"{_COOKIE} {until_unix_s}".encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
