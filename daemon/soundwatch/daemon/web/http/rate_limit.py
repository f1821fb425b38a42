"""Limits of one client: a token bucket for its request rate, and a count of its open requests.

Conventions: seconds of a monotonic clock. An IPv6 client is identified by its /64 network, which one household shares.
An IPv4 address within IPv6 (`::ffff:192.0.2.1`) is that IPv4 address.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections import Counter, OrderedDict
from collections.abc import Iterator
from typing import Final

from soundwatch.daemon.core.network.loopback import parse_ip

MAX_CLIENTS: Final = 1000


class RateLimiter:
    """Token buckets by client.

    Args:
        rate_hz: Tokens that a bucket gains each second.
        burst: Tokens that a bucket holds at most.
    """

    def __init__(self, rate_hz: float, burst: float) -> None:
        self._rate_hz = rate_hz
        self._burst = burst
        self._buckets = OrderedDict[str, tuple[float, float]]()  # tokens, and the time of that count

    def take(self, address: str, now_s: float) -> float:
        """Take a token.

        Returns:
            0 if there was one, otherwise the seconds until the next one.
        """
        client = client_key(address)
        tokens, then_s = self._buckets.pop(client, (self._burst, now_s))
        tokens = min(self._burst, tokens + (now_s - then_s) * self._rate_hz)
        allowed = tokens >= 1
        self._buckets[client] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._buckets) > MAX_CLIENTS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._rate_hz


class OpenRequests:
    """Requests in progress by client.

    Args:
        limit: Largest number of one client.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._open = Counter[str]()

    @contextlib.contextmanager
    def counted(self, address: str | None) -> Iterator[bool]:
        """Count a request within this context; yield whether it is within the limit, always for the address None."""
        client = None if address is None else client_key(address)
        if client is None or self._open[client] >= self._limit:
            yield client is None
            return
        self._open[client] += 1
        try:
            yield True
        finally:
            self._open[client] -= 1
            if not self._open[client]:
                del self._open[client]


def client_key(address: str) -> str:
    """Return the identity of a client: its IPv4 address, or its IPv6 /64 network."""
    parsed = parse_ip(address)
    if isinstance(parsed, ipaddress.IPv6Address):
        return str(ipaddress.IPv6Network((int(parsed), 64), strict=False))
    return address if parsed is None else str(parsed)
