"""The token and its session cookie."""

from __future__ import annotations

from soundwatch.daemon.web.http.session import COOKIE_S, cookie_value, is_cookie, is_token
from support.web_harness import TOKEN


def test_only_the_token_is_the_token() -> None:
    assert is_token(TOKEN, TOKEN)
    for other in ("", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), "ü" * 24, "\udc80"):
        assert not is_token(other, TOKEN)


def test_a_cookie_holds_for_thirty_days_and_then_no_more() -> None:
    cookie = cookie_value(TOKEN, 1000)
    assert is_cookie(cookie, TOKEN, 1000 + COOKIE_S - 1)
    assert not is_cookie(cookie, TOKEN, 1000 + COOKIE_S)


def test_a_cookie_does_not_contain_the_token_and_expires_with_it() -> None:
    cookie = cookie_value(TOKEN, 1000)
    assert TOKEN not in cookie
    assert not is_cookie(cookie, TOKEN + "x", 1000)


def test_a_cookie_with_a_changed_expiry_is_invalid() -> None:
    until, _, signed = cookie_value(TOKEN, 1000).partition(".")
    assert not is_cookie(f"{int(until) + 1}.{signed}", TOKEN, 1000)
    for forged in (
        "",
        ".",
        f"{until}.",
        f"{until}.ü",
        f"+{until}.{signed}",
        f"{'9' * 5000}.{signed}",
        f"²{until}.{signed}",
    ):
        assert not is_cookie(forged, TOKEN, 1000)
