"""Addresses that the service may reach, as systemd's IP filter takes them, made from the configuration.

Conventions: the unit denies every address but loopback; a drop-in beside it adds what the configuration names. An
address is allowed as it is. A name of the local network (`network_reach`) allows all private networks, since such
addresses change; any other name allows every address, since neither this program nor systemd can tell which addresses
it will have. A server that other machines may open allows private networks. Where names are used, the name servers of
/etc/resolv.conf are allowed too. Nothing is looked up.
Does not: know what a program of a `command:` sink wants to reach; it is held to the same addresses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.network.loopback import parse_ip
from soundwatch.daemon.diagnostics.network.configured_hosts import ConfiguredHost, configured_hosts
from soundwatch.daemon.diagnostics.network.network_reach import network_reach

PRIVATE_NETWORKS: Final = (
    *("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16"),
    *("fc00::/7", "fe80::/10"),
)
ANY: Final = ("any",)
_RESOLVER: Final = Path("/etc/resolv.conf")
_EVERYWHERE: Final = ("0.0.0.0", "::", "*", "")  # noqa: S104 -- it is only compared


@dataclass(frozen=True, slots=True)
class AllowedDestination:
    """A destination or source of the configuration, and the addresses that it needs.

    Attributes:
        key: Place in the configuration, as in `ConfiguredHost`.
        host: Name or address.
        addresses: Values of `IPAddressAllow=`.
        reason: Reason for these addresses.
    """

    key: str
    host: str
    addresses: tuple[str, ...]
    reason: str

    @property
    def named(self) -> bool:
        """True if the host is a name, so that a name server has to be asked."""
        return self.host not in _EVERYWHERE and parse_ip(self.host) is None


def allowed_destinations(config: Config) -> tuple[AllowedDestination, ...]:
    """List the destinations and sources beyond loopback, in the order of the configuration.

    Raises:
        ConfigError: A sink is not valid.
    """
    found = map(_destination, configured_hosts(config))
    return tuple(destination for destination in found if destination.addresses)


def drop_in_text(destinations: Sequence[AllowedDestination], nameservers: Sequence[str]) -> str:
    """Write the drop-in that allows these destinations; an empty text where none is needed."""
    if not destinations:
        return ""
    lines = [
        "# Written by `soundwatch service install` from the configuration. Run it again after a change of sinks or",
        "# sources: packets to and from any other address are dropped.",
        "[Service]",
    ]
    for destination in destinations:
        lines.append(
            f"# {destination.key}: {destination.host or 'every address of this machine'}; {destination.reason}"
        )
        lines.append(f"IPAddressAllow={' '.join(destination.addresses)}")
    if nameservers and any(destination.named for destination in destinations):
        lines.append("# name servers of /etc/resolv.conf")
        lines.append(f"IPAddressAllow={' '.join(nameservers)}")
    return "\n".join(lines) + "\n"


def nameservers(resolver: Path = _RESOLVER) -> tuple[str, ...]:
    """Return the name servers that are not on loopback."""
    if not resolver.exists():
        return ()
    words = (line.split() for line in resolver.read_text(encoding="utf-8", errors="replace").splitlines())
    servers = (line[1].partition("%")[0] for line in words if len(line) > 1 and line[0] == "nameserver")
    return tuple(server for server in servers if network_reach(server) != "machine")


def _destination(host: ConfiguredHost) -> AllowedDestination:
    addresses, reason = _allowed(host.host, listens=host.listens)
    return AllowedDestination(host.key, host.host, addresses, reason)


def _allowed(host: str, *, listens: bool) -> tuple[tuple[str, ...], str]:
    """Return the addresses that one host needs, none for loopback, and the reason for them."""
    if host in _EVERYWHERE:
        return PRIVATE_NETWORKS, "machines of private networks may connect"
    reach = network_reach(host)
    if reach == "machine":
        return (), "loopback"
    if parse_ip(host) is None:
        if reach == "local_network":
            return PRIVATE_NETWORKS, "a name of the local network, whose address may change"
        return ANY, "a name whose addresses cannot be known in advance: EVERY ADDRESS IS ALLOWED"
    if not listens:
        return (host,), "this address"
    addresses = PRIVATE_NETWORKS if reach == "local_network" else ANY  # the host is an own address
    return addresses, "clients have other addresses"
