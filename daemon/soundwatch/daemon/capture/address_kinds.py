"""Kinds of sources that have an address: `SCHEME://HOST`.

Conventions: capital letters in a scheme count as small ones.
Does not: read a stream (`streams/`).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import PurePath
from typing import Final
from urllib.parse import urlsplit

from soundwatch.daemon.capture.kind import SourceKind, SourceRequest
from soundwatch.daemon.capture.monitoring.reconnect import open_reconnecting
from soundwatch.daemon.capture.name_candidates import host_names
from soundwatch.daemon.capture.recordings.recording import RECORDING_SUFFIXES
from soundwatch.daemon.capture.streams.certificates import ENCRYPTED, describe_certificate
from soundwatch.daemon.capture.streams.connect import connect_tcp, connect_udp, parse_address
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.capture.streams.ffmpeg import connect_ffmpeg
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.capture.streams.wyoming_satellite import check_wyoming, open_wyoming
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import check_address, redact_url
from soundwatch.daemon.core.records.source import LiveSource, SourceInfo

# Longest time between two attempts. Until a pipe or a port of this machine is open, its writer waits, or datagrams are
# lost, and to open it costs nothing. ffmpeg costs a process and a login for each attempt.
LOCAL_PAUSE_S: Final = 0.25
HOST_PAUSE_S: Final = 1.0
FFMPEG_PAUSE_S: Final = 5.0
_ENCRYPTED_SCHEMES: Final = ENCRYPTED | {"srt"}

Connector = Callable[[str, SourceRequest], Connection]


def _is_plain(_: str) -> bool:
    return False


def _network_kind(
    name: str,
    matches: Callable[[str | int], bool],
    connect: Connector,
    longest_pause_s: float,
    check: Callable[[str], object],
    *,
    encrypted: Callable[[str], bool] = _is_plain,
    later: bool = False,
) -> SourceKind:
    """Build the kind of an address whose sound has the format `pcm`."""

    def info(request: SourceRequest) -> SourceInfo:
        url = str(request.device)
        description = redact_url(url) + describe_certificate(urlsplit(url).scheme.lower(), request.certificate)
        return SourceInfo(request.name, description, request.pcm.rate_hz, request.pcm.channels)

    def open_once(request: SourceRequest) -> NetworkSource:
        url = str(request.device)
        check(url)
        return NetworkSource(request.name, info(request).description, lambda: connect(url, request), request.pcm)

    def open_live(request: SourceRequest) -> LiveSource:
        check(str(request.device))
        return reconnecting(open_once, request, info(request), longest_pause_s, later=later)

    return SourceKind(name, matches, open_once, open_live, host_names, encrypted, check)


def reconnecting(
    open_once: Callable[[SourceRequest], LiveSource],
    request: SourceRequest,
    info: SourceInfo,
    longest_pause_s: float,
    *,
    later: bool = False,
) -> LiveSource:
    """Reopen a connected source after each loss; arguments as of `open_reconnecting`."""
    return open_reconnecting(
        lambda: open_once(request), info, wait=request.wait, later=later, longest_pause_s=longest_pause_s
    )


def _open_wyoming(request: SourceRequest) -> NetworkSource:
    return open_wyoming(request.name, str(request.device), request.least_channels)


def _open_live_wyoming(request: SourceRequest) -> LiveSource:
    url = str(request.device)
    check_wyoming(url)
    return reconnecting(
        _open_wyoming, request, SourceInfo(request.name, redact_url(url), 0, 0), HOST_PAUSE_S, later=True
    )


def _check_url(url: str) -> None:
    """Refuse an ambiguous address, and a recording, which ffmpeg would play as fast as possible, again and again.

    Raises:
        ConfigError: It is one.
    """
    check_address(url)
    parts = urlsplit(url)
    if parts.scheme == "file" and PurePath(parts.path).suffix.lower() in RECORDING_SUFFIXES:
        raise ConfigError(
            f"{redact_url(url)} is the address of a recording; its path was expected. Write it without file://."
        )


def _connect_url(url: str, request: SourceRequest) -> Connection:
    return connect_ffmpeg(url, request.pcm, request.certificate)


def _has_scheme(scheme: str) -> Callable[[str | int], bool]:
    return lambda device: f"{scheme}://" in str(device).lower() and str(device).lower().startswith(scheme)


def _is_encrypted(url: str) -> bool:
    return urlsplit(url).scheme in _ENCRYPTED_SCHEMES


ADDRESS_KINDS: Final[tuple[SourceKind, ...]] = (
    _network_kind(
        "tcp", _has_scheme("pcm+tcp"), lambda url, _: connect_tcp(url), HOST_PAUSE_S, parse_address, later=True
    ),
    _network_kind("udp", _has_scheme("pcm+udp"), lambda url, _: connect_udp(url), LOCAL_PAUSE_S, parse_address),
    SourceKind(
        "wyoming", _has_scheme("wyoming"), _open_wyoming, _open_live_wyoming, host_names, _is_plain, check_wyoming
    ),
    _network_kind("url", _has_scheme(""), _connect_url, FFMPEG_PAUSE_S, _check_url, encrypted=_is_encrypted),
)
