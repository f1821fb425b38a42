"""Token buckets of the request rate limit."""

from __future__ import annotations

import pytest

from soundwatch.daemon.web.http.rate_limit import MAX_CLIENTS, RateLimiter, client_key


def test_a_client_has_a_burst_and_then_a_steady_rate() -> None:
    rates = RateLimiter(rate_hz=2, burst=3)
    assert [rates.take("192.0.2.1", 0.0) for _ in range(4)] == [0, 0, 0, 0.5]
    assert rates.take("192.0.2.1", 0.4) == pytest.approx(0.1)
    assert rates.take("192.0.2.1", 0.5) == 0
    assert [rates.take("192.0.2.1", 100.0) for _ in range(4)] == [0, 0, 0, 0.5], "a bucket holds no more than the burst"


def test_clients_have_separate_buckets() -> None:
    rates = RateLimiter(rate_hz=1, burst=1)
    assert rates.take("192.0.2.1", 0) == 0
    assert rates.take("192.0.2.2", 0) == 0
    assert rates.take("192.0.2.1", 0) > 0


def test_an_ipv6_network_is_one_client() -> None:
    rates = RateLimiter(rate_hz=1, burst=1)
    assert rates.take("2001:db8::1", 0) == 0
    assert rates.take("2001:db8::2", 0) > 0
    assert rates.take("2001:db8:0:1::1", 0) == 0


@pytest.mark.parametrize(
    ("address", "key"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("::ffff:c000:202", "192.0.2.2"),
        ("2001:db8::1", "2001:db8::/64"),
        ("[2001:db8::1]", "2001:db8::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("unix", "unix"),
    ],
)
def test_an_address_names_one_client_in_every_spelling(address: str, key: str) -> None:
    assert client_key(address) == key


def test_the_number_of_buckets_is_limited() -> None:
    rates = RateLimiter(rate_hz=1, burst=1)
    for number in range(2 * MAX_CLIENTS):
        rates.take(f"client {number}", 0)
    assert len(rates._buckets) == MAX_CLIENTS
