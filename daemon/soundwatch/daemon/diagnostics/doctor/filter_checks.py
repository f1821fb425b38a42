"""Comparison of the service's filter of addresses with the service's configuration.

Conventions: a destination that the filter does not allow gets no answer and no error, so that the daemon alone cannot
tell the reason. Only the system's service has a filter.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.daemon.config.file import load_config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding
from soundwatch.daemon.diagnostics.network.network_filter import ANY, AllowedDestination, allowed_destinations
from soundwatch.daemon.system.systemd_unit import UNIT, service_paths

_UNIT_FOLDERS: Final = (Path("/etc/systemd/system"), Path("/run/systemd/system"), Path("/lib/systemd/system"))


@dataclass(frozen=True, slots=True)
class FilterSettings:
    """The filter of a unit and its drop-ins.

    Attributes:
        denies: Every address is denied that is not allowed.
        allowed: Words of all `IPAddressAllow=` lines.
    """

    denies: bool
    allowed: frozenset[str]


def check_network_filter(case: CheckInput) -> Iterator[Finding]:
    """Report each destination of the service's configuration that its filter does not allow."""
    del case
    settings = read_filter(_UNIT_FOLDERS)
    config_path = service_paths(user=False).config
    if not settings.denies or not config_path.exists():
        return
    try:
        destinations = allowed_destinations(load_config(config_path))
    except ConfigError:  # another part of the doctor's, or `check-config`, says why
        return
    yield from filter_findings(settings, destinations)


def filter_findings(settings: FilterSettings, destinations: Iterable[AllowedDestination]) -> Iterator[Finding]:
    """Yield a warning for each destination that the filter does not allow, or one finding that all are allowed."""
    blocked = [destination for destination in destinations if not _covers(settings.allowed, destination.addresses)]
    for destination in blocked:
        host = destination.host or "other machines"
        yield Finding(
            "filter",
            "warning",
            f"The service's filter of addresses does not allow {destination.key} ({host}): packets are dropped.",
            "`sudo soundwatch service install` allows what the configuration names.",
        )
    if not blocked:
        yield Finding("filter", "ok", "The service's filter allows the addresses of its configuration.")


def read_filter(folders: Iterable[Path]) -> FilterSettings:
    """Read the first unit of the folders, and all drop-ins of it, as systemd does."""
    folders = tuple(folders)
    unit = next((folder / UNIT for folder in folders if (folder / UNIT).is_file()), None)
    if unit is None:
        return FilterSettings(False, frozenset())
    drop_ins = [path for folder in folders for path in sorted((folder / f"{UNIT}.d").glob("*.conf"))]
    lines = [line.strip() for path in (unit, *drop_ins) for line in path.read_text(encoding="utf-8").splitlines()]
    words = {key: _words(lines, key) for key in ("IPAddressDeny=", "IPAddressAllow=")}
    return FilterSettings("any" in words["IPAddressDeny="], frozenset(words["IPAddressAllow="]))


def _words(lines: Iterable[str], key: str) -> list[str]:
    return [word for line in lines if line.startswith(key) for word in line.removeprefix(key).split()]


def _covers(allowed: frozenset[str], addresses: tuple[str, ...]) -> bool:
    """Check that each address or network lies in one that is allowed."""
    if ANY[0] in allowed:
        return True
    networks = [network for word in allowed if (network := _network(word)) is not None]
    needed = [_network(address) for address in addresses]
    return all(item is not None and any(_lies_in(item, network) for network in networks) for item in needed)


def _lies_in(
    inner: ipaddress.IPv4Network | ipaddress.IPv6Network, outer: ipaddress.IPv4Network | ipaddress.IPv6Network
) -> bool:
    if isinstance(inner, ipaddress.IPv4Network) and isinstance(outer, ipaddress.IPv4Network):
        return inner.subnet_of(outer)
    if isinstance(inner, ipaddress.IPv6Network) and isinstance(outer, ipaddress.IPv6Network):
        return inner.subnet_of(outer)
    return False


def _network(word: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    """Return the network of a word; None for a name such as `localhost` or `any`."""
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        return None
