"""Who knows the token: by a header, or by the cookie that the login form gives.

Conventions: the cookie is when it ends, and that moment signed with the token. So it holds over restarts, ends with the
token, and does not tell it. All comparisons take the same time whatever is compared.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Final

COOKIE: Final = "soundwatch_session"
COOKIE_S: Final = 30 * 86_400


def is_token(given: str, token: str) -> bool:
    """Whether that is the token."""
    return hmac.compare_digest(_digest(given), _digest(token))


def cookie_value(token: str, now_unix_s: int) -> str:
    """A cookie for one who knows the token."""
    until_unix_s = now_unix_s + COOKIE_S
    return f"{until_unix_s}.{_signed(until_unix_s, token)}"


def is_cookie(value: str, token: str, now_unix_s: int) -> bool:
    """Whether that is a cookie of ours that still holds."""
    until, _, signed = value.partition(".")
    if not (until.isascii() and until.isdigit() and len(until) <= 12):
        return False
    return hmac.compare_digest(signed.encode(), _signed(int(until), token).encode()) and now_unix_s < int(until)


def _signed(until_unix_s: int, token: str) -> str:
    return hmac.new(token.encode(), f"{COOKIE} {until_unix_s}".encode(), hashlib.sha256).hexdigest()


def _digest(text: str) -> bytes:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
