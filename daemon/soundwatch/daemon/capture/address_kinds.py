"""Kinds of sources that have an address: `SCHEME://HOST`.

Conventions: capital letters in a scheme count as small ones.
Does not: read a stream (`streams/`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from soundwatch.daemon.capture.kind import SourceKind, SourceRequest
from soundwatch.daemon.capture.monitoring.reconnect import open_reconnecting
from soundwatch.daemon.capture.name_candidates import host_names
from soundwatch.daemon.capture.streams.certificates import ENCRYPTED, describe_certificate
from soundwatch.daemon.capture.streams.ffmpeg import connect_ffmpeg
from soundwatch.daemon.capture.streams.network import (
    Connection,
    NetworkSource,
    connect_tcp,
    connect_udp,
    parse_address,
)
from soundwatch.daemon.capture.streams.wyoming_satellite import open_wyoming
from soundwatch.daemon.core.network.redact import check_address, redact_url
from soundwatch.daemon.core.records.source import LiveSource

# Longest time between two attempts. Until a pipe or a port of this machine is open, its writer waits, or datagrams are
# lost, and to open it costs nothing. ffmpeg costs a process and a login for each attempt.
LOCAL_PAUSE_S: Final = 0.25
HOST_PAUSE_S: Final = 1.0
FFMPEG_PAUSE_S: Final = 5.0
_ENCRYPTED_SCHEMES: Final = ENCRYPTED | {"srt"}

Connector = Callable[[str, SourceRequest], Connection]


def _network_kind(
    name: str,
    matches: Callable[[str | int], bool],
    connect: Connector,
    encrypted: Callable[[str], bool],
    longest_pause_s: float,
    check: Callable[[str], object],
) -> SourceKind:
    """Build the kind of an address."""

    def open_once(request: SourceRequest) -> NetworkSource:
        url = str(request.device)
        check(url)
        description = redact_url(url) + describe_certificate(urlsplit(url).scheme.lower(), request.certificate)
        return NetworkSource(request.name, description, lambda: connect(url, request), request.pcm)

    return SourceKind(name, matches, open_once, reconnecting(open_once, longest_pause_s), host_names, encrypted, check)


def reconnecting(
    open_once: Callable[[SourceRequest], LiveSource], longest_pause_s: float
) -> Callable[[SourceRequest], LiveSource]:
    """Reopen a connected source after each loss."""
    return lambda request: open_reconnecting(
        lambda: open_once(request),
        request.name,
        redact_url(str(request.device)),
        wait=request.wait,
        longest_pause_s=longest_pause_s,
    )


def _connect_url(url: str, request: SourceRequest) -> Connection:
    return connect_ffmpeg(url, request.pcm, request.certificate)


def _has_scheme(scheme: str) -> Callable[[str | int], bool]:
    return lambda device: f"{scheme}://" in str(device).lower() and str(device).lower().startswith(scheme)


def _is_plain(_: str) -> bool:
    return False


def _is_encrypted(url: str) -> bool:
    return urlsplit(url).scheme in _ENCRYPTED_SCHEMES


ADDRESS_KINDS: Final[tuple[SourceKind, ...]] = (
    _network_kind(
        "tcp", _has_scheme("pcm+tcp"), lambda url, _: connect_tcp(url), _is_plain, HOST_PAUSE_S, parse_address
    ),
    _network_kind(
        "udp", _has_scheme("pcm+udp"), lambda url, _: connect_udp(url), _is_plain, LOCAL_PAUSE_S, parse_address
    ),
    SourceKind(
        "wyoming",
        _has_scheme("wyoming"),
        lambda request: open_wyoming(request.name, str(request.device)),
        reconnecting(lambda request: open_wyoming(request.name, str(request.device)), HOST_PAUSE_S),
        host_names,
        _is_plain,
        parse_address,
    ),
    _network_kind("url", _has_scheme(""), _connect_url, _is_encrypted, FFMPEG_PAUSE_S, check_address),
)
