"""Address, names and token of the web server.

Conventions: `-F http://HOST:PORT[,token_file=FILE][,host=NAME][,frame=ORIGIN][,proxy=ADDRESS]
[,trusted_proxies=ADDRESS][,certificate=FILE,key=FILE]`. A loopback address needs no token, since other machines cannot
reach it. Any other address needs one, from the file or from SOUNDWATCH_TOKEN, or a proxy that checks its users, from
which alone requests are accepted. With a certificate the server speaks TLS only.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

import msgspec

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.files.paths import expand_path
from soundwatch.daemon.core.network.loopback import IpAddress, is_loopback, parse_ip
from soundwatch.daemon.sinks.spec import PAGE_PORT, SinkSpec, parse_options
from soundwatch.daemon.web.http.tls import TlsFiles, load_context
from soundwatch.daemon.web.http.token import MIN_TOKEN_LENGTH, TOKEN_VARIABLE, RenewedToken

IpNetwork = ipaddress.IPv4Network | ipaddress.IPv6Network
_NAME: Final = re.compile(r"[^\s/:@?#\[\]]+")
_ORIGIN: Final = re.compile(r"https?://([a-z0-9.-]+|\[[0-9a-f:]+\])(:[0-9]{1,5})?", re.IGNORECASE)
_LOOPBACK_NAMES: Final = frozenset({"localhost", "127.0.0.1", "::1"})


class HttpOptions(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options after the address.

    Attributes:
        token_file: File with the token.
        host: Additional host name, for a reverse proxy.
        frame: Origins of pages that may frame the page, separated by spaces.
        proxy: Addresses of proxies that check their users, separated by spaces; their requests need no token.
        trusted_proxies: Addresses or networks of proxies that name their clients in X-Forwarded-For, separated by
            spaces; limits of requests are those of each client.
        certificate: File with the certificate of the server and those of its issuers, for TLS.
        key: File with the private key of the server.
    """

    token_file: str | None = None
    host: str | None = None
    frame: str | None = None
    proxy: str | None = None
    trusted_proxies: str | None = None
    certificate: str | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Settings:
    """Settings of the web server.

    Attributes:
        host: Name or address of a network interface.
        port: TCP port; 0 for any free one.
        clients_token: Token of the clients.
        names: Accepted names in the `Host` header.
        proxy_host: Host name of the reverse proxy; empty if there is none.
        frame_ancestors: Origins of pages that may frame the page.
        proxies: Addresses of proxies that check their users.
        trusted_proxies: Networks of proxies that name their clients in `X-Forwarded-For`, those in `proxies` too.
        tls: Files for TLS; None for a server without it.
    """

    host: str
    port: int
    clients_token: RenewedToken
    names: frozenset[str]
    proxy_host: str = ""
    frame_ancestors: tuple[str, ...] = ()
    proxies: frozenset[IpAddress] = frozenset()
    trusted_proxies: frozenset[IpNetwork] = frozenset()
    tls: TlsFiles | None = None

    @property
    def token(self) -> str | None:
        """Token in force; None if no token is required."""
        return self.clients_token.get()

    @property
    def may_be_framed(self) -> bool:
        """Return True if a page may frame the page; a proxy's own pages may."""
        return bool(self.frame_ancestors or self.proxies)

    def is_proxy(self, address: str) -> bool:
        """Return whether a client's address is that of a proxy that checks its users."""
        return bool(self.proxies) and parse_ip(address) in self.proxies

    def names_clients(self, address: str) -> bool:
        """Return whether a client's address is that of a proxy that names its clients in `X-Forwarded-For`."""
        client = parse_ip(address) if self.trusted_proxies else None
        return client is not None and any(client in network for network in self.trusted_proxies)

    @property
    def url(self) -> str:
        """URL for a browser."""
        scheme = "http" if self.tls is None else "https"
        return f"{scheme}://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}"

    def accepts_host(self, name: str) -> bool:
        """Check the name in a `Host` header.

        DNS rebinding can point a foreign name to this server, but cannot forge an address.
        """
        if name in self.names:
            return True
        return not is_loopback(self.host) and parse_ip(name) is not None


def parse_settings(
    spec: SinkSpec, machine: str, environment: Mapping[str, str], on_failure: Callable[[str], object] = lambda _: None
) -> Settings:
    """Parse the specification of an `http` sink.

    Args:
        spec: The specification.
        machine: Name of this machine.
        environment: Environment variables, for the token.
        on_failure: Called with the reason if a new file of the token cannot be used.

    Raises:
        ConfigError: The address is invalid, other machines can reach it and there is no token, or the files for TLS
            cannot be used.
    """
    options = parse_options(spec, HttpOptions)
    host, port = _parse_address(spec)
    token = RenewedToken(spec, options.token_file, environment, on_failure)
    proxies = _parse_proxies(spec, options.proxy or "")
    trusted = frozenset(map(ipaddress.ip_network, proxies)) | _parse_networks(spec, options.trusted_proxies or "")
    if token.get() is None and not proxies and not is_loopback(host):
        raise ConfigError(
            f"-F {spec.text} can be reached from other machines, so it requires a token. "
            f"Write one to a file and add ,token_file=FILE, or set {TOKEN_VARIABLE}; or use the address 127.0.0.1."
        )
    names = {host.lower(), *_LOOPBACK_NAMES}
    if not is_loopback(host):
        names |= {machine.lower(), f"{machine.lower()}.local"}
    if options.host:
        if not _NAME.fullmatch(options.host) and parse_ip(options.host) is None:
            raise ConfigError(
                f"-F {spec.text}: host={options.host} is not the name of a host; a name without http:// and without a "
                "port was expected, as host=watch.example.org."
            )
        names.add(options.host.lower())
    proxy_host = (options.host or "").lower()
    origins = _parse_origins(spec, options.frame or "")
    tls = _read_tls(spec, options)
    return Settings(host, port, token, frozenset(names), proxy_host, origins, proxies, trusted, tls)


def check_settings(spec: SinkSpec, machine: str) -> None:
    """Check the specification and the files of an `http` sink; the token may be in the environment of the service.

    Raises:
        ConfigError: As in `parse_settings`.
    """
    parse_settings(spec, machine, {TOKEN_VARIABLE: "-" * MIN_TOKEN_LENGTH})


def _read_tls(spec: SinkSpec, options: HttpOptions) -> TlsFiles | None:
    if options.certificate is None and options.key is None:
        return None
    if options.certificate is None or options.key is None:
        raise ConfigError(f"-F {spec.text}: TLS needs both ,certificate=FILE and ,key=FILE.")
    files = TlsFiles(expand_path(options.certificate), expand_path(options.key))
    try:
        load_context(files)
    except ConfigError as error:
        raise ConfigError(f"-F {spec.text}: {error}") from error
    return files


def _parse_proxies(spec: SinkSpec, text: str) -> frozenset[IpAddress]:
    proxies = set[IpAddress]()
    for word in text.split():
        address = parse_ip(word)
        if address is None:
            raise ConfigError(
                f"-F {spec.text}: proxy={word} is not an address; an IP address was expected, as "
                "proxy=192.0.2.7, several separated by spaces."
            )
        proxies.add(address)
    return frozenset(proxies)


def _parse_networks(spec: SinkSpec, text: str) -> frozenset[IpNetwork]:
    networks = set[IpNetwork]()
    for word in text.split():
        try:
            networks.add(ipaddress.ip_network(parse_ip(word) or word, strict=False))
        except ValueError:
            raise ConfigError(
                f"-F {spec.text}: trusted_proxies={word} is not an address; an IP address was expected, as "
                "trusted_proxies=192.0.2.7, or a network, as 192.0.2.0/24, several separated by spaces."
            ) from None
    return frozenset(networks)


def _parse_origins(spec: SinkSpec, text: str) -> tuple[str, ...]:
    origins = tuple(text.split())
    for origin in origins:
        if not _ORIGIN.fullmatch(origin):
            raise ConfigError(
                f"-F {spec.text}: frame={origin} is not an origin; http://HOST[:PORT] or https://HOST[:PORT] was "
                "expected, several separated by spaces."
            )
    return origins


def _parse_address(spec: SinkSpec) -> tuple[str, int]:
    invalid = ConfigError(
        f"-F {spec.text} is not an address; http://HOST:PORT was expected, as http://127.0.0.1:{PAGE_PORT}."
    )
    try:
        parts = urlsplit(f"{spec.kind}:{spec.target}")
        port = PAGE_PORT if parts.port is None else parts.port
    except ValueError:
        raise invalid from None
    if not parts.hostname or parts.path not in ("", "/") or parts.query or parts.fragment or parts.username:
        raise invalid
    return parts.hostname, port
