"""Reach of data that is sent to a host, by the host's address or name.

Conventions: a reach is `machine` for this machine only, `local_network` for an address of a private network, `outside`
for any other address, and `unknown` without an address. No name is looked up: a name with a dot counts as outside,
unless its suffix is common in private networks.
"""

from __future__ import annotations

from typing import Final, Literal

from soundwatch.daemon.core.network.loopback import is_loopback, parse_ip

NetworkReach = Literal["machine", "local_network", "outside", "unknown"]
_PRIVATE_SUFFIXES: Final = (".local", ".lan", ".home", ".internal", ".home.arpa", ".localdomain", ".fritz.box")


def network_reach(host: str) -> NetworkReach:
    """Classify a host by its address or name, without looking it up."""
    name = host.strip("[]").rstrip(".").lower()
    if is_loopback(name) or name.endswith(".localhost"):
        return "machine"
    address = parse_ip(name)
    if address is None:
        return "local_network" if "." not in name or name.endswith(_PRIVATE_SUFFIXES) else "outside"
    return "local_network" if address.is_private or address.is_link_local or address.is_unspecified else "outside"
