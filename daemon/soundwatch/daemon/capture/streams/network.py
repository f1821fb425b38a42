"""Raw samples over a connection: TCP, UDP, multicast, or a named pipe; and the source that reads any connection.

Conventions: interleaved little-endian samples without a header, in a configured format. A connection is live: sample 0
is assumed to have been recorded one first read before that read, a busy machine does not slow the sender, and the end
of the stream is a loss. A connection is closed with its source. The samples carry no numbers, so losses are found by
the clock only (`capture/monitoring/drop_detector.py`): 150 ms and more within four seconds, and smaller ones once they
add up. A multicast group is joined on the interface that the system chooses and on loopback, or on the one that
`?interface=ADDRESS` names, for IPv6 `?interface=NAME`.
Does not: reconnect (`capture/monitoring/reconnect.py`), start ffmpeg (`capture/streams/ffmpeg.py`), or read a stream's
own time stamps.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final
from urllib.parse import parse_qsl, urlsplit

from soundwatch.daemon.capture.descriptors.pipes import is_only_reader, wait_closed, wait_readable
from soundwatch.daemon.capture.monitoring.drop_detector import DropDetectorState, detect_drops
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.samples.pcm_stream import PcmStream
from soundwatch.daemon.capture.samples.validate import validate_samples
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.core.errors import ConfigError, SourceError, StallError
from soundwatch.daemon.core.network.loopback import IpAddress
from soundwatch.daemon.core.network.redact import check_address, redact_url
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.source import SourceInfo
from soundwatch.daemon.core.time.clock import monotonic_ns

FIRST_S: Final = 15.0  # cameras need some seconds to start
SILENT_S: Final = 2.5
CONNECTING_S: Final = 5.0
POLL_MS: Final = 100
BLOCK_MS: Final = 100
PIECE_S: Final = 0.1  # of sound that a gathering system delivers at once
LARGEST_DATAGRAM_BYTES: Final = 1 << 16


class NetworkSource:
    """A live source of raw samples.

    Args:
        name: The source's name in events.
        description: Address without its secrets.
        connect: Opens the connection, or raises `SourceError`.
        pcm: Format of the samples.

    Raises:
        SourceError: The connection cannot be opened.
    """

    def __init__(self, name: str, description: str, connect: Callable[[], Connection], pcm: PcmFormat) -> None:
        self.info = SourceInfo(name, description, pcm.rate_hz, pcm.channels)
        self.start_unix_ns = 0
        self._pcm = pcm
        self._stopped = False
        self._gather_until: int | None = None
        self._expected_samples = 0  # of the next read
        self._connection = connect()

    def blocks(self) -> Iterator[Block]:
        """Yield blocks as they arrive, until `stop`.

        Raises:
            StallError: Nothing has arrived for some seconds.
            SourceError: The connection has ended, gives a sample that is not a number, or begins with the header of
                another format.
        """
        rate_hz, end_sample = self.info.rate_hz, 0
        stream = PcmStream(self._pcm, self.info.description, datagrams=self._connection.datagrams)
        watch, ended = DropDetectorState(), False
        first_s = FIRST_S if self._connection.first_s is None else self._connection.first_s
        try:
            while data := self._read(SILENT_S if end_sample else first_s):
                arrival_ns = monotonic_ns()
                samples = stream.decode(data)
                if not samples.shape[1]:
                    continue
                size = samples.shape[1]
                watch, lost = detect_drops(watch, arrival_ns, end_sample + size, rate_hz)
                validate_samples(samples, end_sample + lost, rate_hz, self.info.description)
                if not end_sample:
                    self.start_unix_ns = time.time_ns() - size * 1_000_000_000 // rate_hz
                yield Block(samples, rate_hz, end_sample + lost, lost, arrival_ns)
                end_sample += lost + size
                self._gather(size, end_sample)
            ended = not self._stopped
        finally:
            reason = self._connection.close(received=end_sample > 0)
        if ended:
            raise SourceError(f"{self.info.description} ended{': ' if reason else '.'}{reason}")

    def gather_until(self, end_sample: int) -> None:
        """Let the next block end at this sample, or soon after, if sound may wait for a read."""
        self._gather_until = end_sample

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True
        self._connection.interrupt()

    def _gather(self, size: int, end_sample: int) -> None:
        """Wait for more sound, unless more was waiting than may wait."""
        gather_s, longest_s, rate_hz = self._connection.gather_s, self._connection.longest_gather_s, self.info.rate_hz
        if self._gather_until is not None:
            self._expected_samples = max(0, self._gather_until - end_sample)
            wanted_s = PIECE_S + (self._gather_until - end_sample) / rate_hz
            gather_s = max(0.0, min(wanted_s, longest_s))  # a poll of a negative time would never end
        if gather_s and size < longest_s * rate_hz and not self._stopped:
            wait_closed(self._connection.fd, round(gather_s * 1000), self._connection.message_fd)

    def _read(self, patience_s: float) -> bytes:
        """Read available bytes; none at the end and after `stop`."""
        block_s = max(BLOCK_MS / 1000, 1.5 * self._connection.longest_gather_s)
        size = round(self.info.rate_hz * block_s) * self._pcm.frame_bytes
        datagrams, empty_polls = self._connection.datagrams, 0
        while not self._stopped:
            if wait_readable(self._connection.fd, POLL_MS, self._connection.message_fd):
                with contextlib.suppress(BlockingIOError):
                    data = self._receive(LARGEST_DATAGRAM_BYTES if datagrams else size)
                    if data or not datagrams:
                        return data
                time.sleep(POLL_MS / 1000)
            empty_polls += 1  # polls, not time, which also passes while this program is suspended
            if empty_polls * POLL_MS >= patience_s * 1000:
                raise StallError(f"{self.info.description} has delivered nothing for {patience_s:g} s.")
        return b""

    def _receive(self, size: int) -> bytes:
        try:
            if self._connection.receive is not None:
                return self._connection.receive(size, self._expected_samples * self._pcm.frame_bytes)
            return os.read(self._connection.fd, size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise SourceError(f"{self.info.description} cannot be read: {error.strerror}.") from error


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
    """Open a named pipe; its writer may close and reopen it.

    Raises:
        SourceError: The pipe cannot be opened, or another source or soundwatch reads it.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}.") from error
    if not is_only_reader(fd):
        os.close(fd)
        raise SourceError(
            f"{path} is read by another source or program, and each reader of a pipe gets a part of its sound only. "
            "End the other one, or let the writer write into two pipes."
        )

    def close(*, received: bool) -> str:  # noqa: ARG001 -- a `Closing`
        os.close(fd)
        return "no program writes to it."

    return Connection(fd, close)
