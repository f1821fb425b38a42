"""How much a visitor may ask."""

from __future__ import annotations

import pytest

from soundwatch.daemon.web.rate_limit import MOST_VISITORS, RateLimiter


def test_a_visitor_may_ask_so_much_at_once_and_then_as_much_as_comes() -> None:
    rates = RateLimiter(a_second=2, at_once=3)
    assert [rates.take("192.0.2.1", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("192.0.2.1", 0.4) == pytest.approx(0.1)
    assert rates.take("192.0.2.1", 0.5) == 0
    assert [rates.take("192.0.2.1", 100.0) for _ in range(4)] == [0, 0, 0, 0.5], "no more is saved up than fits"


def test_visitors_do_not_take_from_each_other() -> None:
    rates = RateLimiter(a_second=1, at_once=1)
    assert rates.take("192.0.2.1", 0) == 0
    assert rates.take("192.0.2.2", 0) == 0
    assert rates.take("192.0.2.1", 0) > 0


def test_a_household_with_many_ipv6_addresses_is_one_visitor() -> None:
    rates = RateLimiter(a_second=1, at_once=1)
    assert rates.take("2001:db8::1", 0) == 0
    assert rates.take("2001:db8::2", 0) > 0
    assert rates.take("2001:db8:0:1::1", 0) == 0


def test_a_crowd_of_visitors_takes_no_more_room_than_so_much() -> None:
    rates = RateLimiter(a_second=1, at_once=1)
    for number in range(2 * MOST_VISITORS):
        rates.take(f"visitor {number}", 0)
    assert len(rates._buckets) == MOST_VISITORS
