"""How much a visitor may ask: a bucket of tokens for each address, filled at a steady rate.

Conventions: seconds of a monotonic clock. An IPv6 visitor is his whole /64, which is one household's.
"""

from __future__ import annotations

import ipaddress
from collections import OrderedDict
from typing import Final

MOST_VISITORS: Final = 1000


class RateLimiter:
    """Buckets.

    Args:
        a_second: How many tokens come each second.
        at_once: How many a bucket holds.
    """

    def __init__(self, a_second: float, at_once: float) -> None:
        self._a_second = a_second
        self._at_once = at_once
        self._buckets = OrderedDict[str, tuple[float, float]]()  # tokens, and when that was

    def take(self, address: str, now_s: float) -> float:
        """Take a token.

        Returns:
            0, or where there is none how many seconds until there is.
        """
        visitor = _visitor(address)
        tokens, then_s = self._buckets.pop(visitor, (self._at_once, now_s))
        tokens = min(self._at_once, tokens + (now_s - then_s) * self._a_second)
        allowed = tokens >= 1
        self._buckets[visitor] = (tokens - 1 if allowed else tokens, now_s)
        if len(self._buckets) > MOST_VISITORS:
            self._buckets.popitem(last=False)
        return 0.0 if allowed else (1 - tokens) / self._a_second


def _visitor(address: str) -> str:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(ipaddress.ip_network(f"{parsed}/64", strict=False)) if parsed.version == 6 else address
