"""The check for loopback addresses: one rule for every listener and every report of reach.

Does not: resolve names.
"""

from __future__ import annotations

import contextlib
import ipaddress

IpAddress = ipaddress.IPv4Address | ipaddress.IPv6Address


def parse_ip(host: str) -> IpAddress | None:
    """Parse an address, with or without the brackets of a URL; return None for a name."""
    with contextlib.suppress(ValueError):
        address = ipaddress.ip_address(host.strip("[]"))
        return getattr(address, "ipv4_mapped", None) or address
    return None


def is_loopback(host: str) -> bool:
    """Return True if only this machine can reach a host: a loopback address, or the name `localhost`."""
    address = parse_ip(host)
    return host.rstrip(".").lower() == "localhost" if address is None else address.is_loopback
