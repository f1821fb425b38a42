"""Connections of raw samples: TCP, UDP, multicast and named pipes.

Conventions: a multicast group is joined on the interface that the system chooses and on loopback, or on the one that
`?interface=ADDRESS` names, for IPv6 `?interface=NAME`.
Does not: read samples (`capture/streams/network.py`), or start ffmpeg (`capture/streams/ffmpeg.py`).
"""

from __future__ import annotations

import ipaddress
import os
import socket
import stat
import struct
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from soundwatch.daemon.capture.descriptors.pipes import is_only_reader
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.network.loopback import IpAddress
from soundwatch.daemon.core.network.redact import check_address, redact_url

CONNECTING_S: Final = 5.0


def connect_tcp(url: str) -> Connection:
    """Connect to pcm+tcp://HOST:PORT.

    Raises:
        SourceError: The host does not answer.
        ConfigError: The address is malformed.
    """
    host, port, _ = parse_address(url)
    try:
        connected = socket.create_connection((host, port), CONNECTING_S)
    except OSError as error:
        raise SourceError(f"{url} does not answer: {error.strerror or error}.") from error
    connected.setblocking(False)

    def close(*, received: bool) -> str:  # noqa: ARG001 -- a `Closing`
        connected.close()
        return ""

    return Connection(connected.fileno(), close)


def connect_udp(url: str) -> Connection:
    """Receive datagrams at pcm+udp://HOST:PORT, from any sender; join the group if HOST is a multicast address.

    Raises:
        SourceError: The address is not of this machine, is in use, or the group cannot be joined.
        ConfigError: The address is malformed.
    """
    host, port, interface = parse_address(url)
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        receiver = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SourceError(f"{url} cannot be received: {error.strerror or error}.") from error
    try:
        receiver.setblocking(False)
        group = ipaddress.ip_address(str(bound[0]).partition("%")[0])
        if group.version == 6 and group.is_multicast and interface:
            bound = (str(bound[0]), port, 0, socket.if_nametoindex(interface))
        if group.is_multicast:
            receiver.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # several programs may join one group
        receiver.bind(bound)
        if group.is_multicast:
            _join(receiver, group, interface, int(bound[3]) if len(bound) > 2 else 0)
        elif interface:
            raise ConfigError(f"{url} names an interface, which only a multicast address needs; remove it.")
    except OSError as error:
        receiver.close()
        raise SourceError(
            f"{url} cannot be received: {error.strerror or error}. Give an address of this machine, or a multicast "
            "group with ?interface=ADDRESS of this machine (IPv6: its name), and a port that is free."
        ) from error
    except ConfigError:
        receiver.close()
        raise

    def close(*, received: bool) -> str:  # noqa: ARG001 -- a `Closing`
        receiver.close()
        return ""

    return Connection(receiver.fileno(), close, datagrams=True)


def _join(receiver: socket.socket, group: IpAddress, interface: str, scope: int) -> None:
    """Join a multicast group.

    Raises:
        OSError: The group can be joined on no interface.
    """
    if group.version == 6:
        receiver.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_JOIN_GROUP, group.packed + struct.pack("@I", scope))
        return
    chosen = (interface,) if interface else ("0.0.0.0", "127.0.0.1")  # noqa: S104  # any: the system's choice
    refused: OSError | None = None
    joined = 0
    for address in chosen:
        try:
            receiver.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group.packed + socket.inet_aton(address))
        except OSError as error:
            refused = error
        else:
            joined += 1
    if not joined and refused is not None:
        raise refused


def parse_address(url: str) -> tuple[str, int, str]:
    """Return host, port and interface of an address.

    Raises:
        ConfigError: The address is malformed.
    """
    check_address(url)
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query))
    interface = options.pop("interface", "")
    if parts.hostname and parts.port and not options and parts.path in ("", "/"):
        return parts.hostname, parts.port, interface
    raise ConfigError(f"{redact_url(url)!r} is not a valid address; write {parts.scheme}://HOST:PORT.")


def connect_fifo(path: Path) -> Connection:
    """Open a named pipe; its writer may close and reopen it. Only one source or soundwatch may read it.

    Raises:
        SourceError: The pipe cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}.") from error
    opened = os.fstat(fd)
    if not stat.S_ISFIFO(opened.st_mode):
        os.close(fd)
        raise SourceError(f"{path} is no named pipe any more. Make it again with `mkfifo`.")

    def refusal() -> str | None:
        if is_only_reader(fd):
            return None
        return (
            f"{path} is read by another source or program, and each reader of a pipe gets a part of its sound only. "
            "End the other one, or let the writer write into two pipes."
        )

    def close(*, received: bool) -> str:  # noqa: ARG001 -- a `Closing`
        os.close(fd)
        return "no program writes to it."

    def is_replaced() -> bool:
        try:
            return not os.path.samestat(path.stat(), opened)
        except OSError:
            return True

    return Connection(fd, close, is_replaced=is_replaced, refusal=refusal)
