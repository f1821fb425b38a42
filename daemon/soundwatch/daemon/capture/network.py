"""Raw samples that come over a connection: from ffmpeg (cameras, radio), over TCP or UDP, or from a named pipe.

Conventions: interleaved little-endian samples without a header, in the format that was told; ffmpeg is asked for it.
What is connected is taken to be live: sample 0 was recorded one first read before that read came, nothing is held back
for a busy machine, and the end of the stream is a loss. A connection is closed with its source. Nothing numbers the
samples on their way, so what vanished is found by the clock alone (`capture/drop_detector.py`): 150 ms and more within
four seconds, and less as soon as it has added up to that.
Does not: connect again (`capture/reconnect.py`), or hear what a stream says of its own times.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from soundwatch.daemon.capture.drop_detector import DropDetectorState, detect_drops
from soundwatch.daemon.capture.poll import wait_readable
from soundwatch.daemon.capture.raw_pcm import PcmFormat, decode_pcm
from soundwatch.daemon.capture.validate import validate_samples
from soundwatch.daemon.core.clock import monotonic_ns
from soundwatch.daemon.core.errors import ConfigError, SourceError, SourceUnavailableError, StallError
from soundwatch.daemon.core.redact import redact_text, redact_url
from soundwatch.daemon.core.source import SourceInfo
from soundwatch.daemon.core.types import Block, read_only

FIRST_S: Final = 15.0  # cameras take their time to begin
SILENT_S: Final = 2.5
CONNECTING_S: Final = 5.0
ENDING_S: Final = 0.2
LOOK_UP_MS: Final = 100
BLOCK_MS: Final = 100
LARGEST_DATAGRAM_BYTES: Final = 1 << 16
ASKED_OF_FFMPEG: Final = {
    "rtsp": ("-rtsp_flags", "prefer_tcp"),  # over UDP it would leave out what is lost without a word
    "http": ("-re",),  # radio comes in chunks of many seconds, recordings as fast as they can be sent
    "https": ("-re",),
}


@dataclass(frozen=True, slots=True)
class Connection:
    """What is read from.

    Attributes:
        fd: Its file descriptor, in non-blocking mode or not.
        close: Gives it back, and returns why it ended where that is known.
        datagrams: Whether each read gives one datagram of whole frames, which may be empty without being the end.
    """

    fd: int
    close: Callable[[], str]
    datagrams: bool = False


class NetworkSourceAudit:
    """A live source of raw samples.

    Args:
        name: The source's name in events.
        description: Where they come from.
        connect: Opens the connection, or raises `SourceError`.
        pcm: How to read them.

    Raises:
        SourceError: There is no connection to be had.
    """

    def __init__(self, name: str, description: str, connect: Callable[[], Connection], pcm: PcmFormat) -> None:
        self.info = SourceInfo(name, description, pcm.rate_hz, pcm.channels)
        self.start_unix_ns = 0
        self._pcm = pcm
        self._stopped = False
        self._connection = connect()

    def blocks(self) -> Iterator[Block]:
        """Blocks as they come in, until `stop`.

        Raises:
            StallError: Nothing has come for some seconds.
            SourceError: The connection has ended, or gives what is not a number.
        """
        rate_hz, end_sample, rest = self.info.rate_hz, 0, b""
        watch, ended = DropDetectorState(), False
        try:
            while data := self._read(FIRST_S if not end_sample else SILENT_S):
                arrival_ns = monotonic_ns()
                rest += data
                whole = len(rest) - len(rest) % self._pcm.frame_bytes
                samples = read_only(decode_pcm(rest[:whole], self._pcm))
                rest = b"" if self._connection.datagrams else rest[whole:]
                if not whole:
                    continue
                size = samples.shape[1]
                watch, lost = detect_drops(watch, arrival_ns, end_sample + size, rate_hz)
                validate_samples(samples, end_sample + lost, rate_hz, self.info.description)
                if not end_sample:
                    self.start_unix_ns = time.time_ns() - size * 1_000_000_000 // rate_hz
                yield Block(samples, rate_hz, end_sample + lost, lost, arrival_ns)
                end_sample += lost + size
            ended = not self._stopped
        finally:
            reason = self._connection.close()
        if ended:
            raise SourceError(f"{self.info.description} ended{': ' if reason else '.'}{reason}")

    def stop(self) -> None:
        """Make `blocks` end."""
        self._stopped = True

    def _read(self, patience_s: float) -> bytes:
        """What has come; none at the end and after `stop`."""
        size = self.info.rate_hz * BLOCK_MS // 1000 * self._pcm.frame_bytes
        datagrams, empty_looks = self._connection.datagrams, 0
        while not self._stopped:
            if wait_readable(self._connection.fd, LOOK_UP_MS):
                with contextlib.suppress(BlockingIOError):
                    data = self._received(LARGEST_DATAGRAM_BYTES if datagrams else size)
                    if data or not datagrams:
                        return data
                time.sleep(LOOK_UP_MS / 1000)
            empty_looks += 1  # not time, which also passes while this program is frozen
            if empty_looks * LOOK_UP_MS >= patience_s * 1000:
                raise StallError(f"{self.info.description} has delivered nothing for {patience_s:g} s.")
        return b""

    def _received(self, size: int) -> bytes:
        try:
            return os.read(self._connection.fd, size)
        except BlockingIOError:
            raise
        except OSError as error:
            raise SourceError(f"{self.info.description} cannot be read: {error.strerror}.") from error


def ffmpeg(url: str, pcm: PcmFormat) -> Connection:
    """What ffmpeg makes of a URL.

    Raises:
        SourceUnavailableError: There is no ffmpeg.
    """
    asked = ("-f", pcm.sample_format, "-ar", str(pcm.rate_hz), "-ac", str(pcm.channels), "pipe:1")
    how = ASKED_OF_FFMPEG.get(urlsplit(url).scheme, ())
    command = ["ffmpeg", "-nostdin", "-hide_banner", "-loglevel", "error", *how, "-i", url, "-map", "0:a:0", *asked]
    try:
        process = subprocess.Popen(  # noqa: S603 -- a list, and the URL is the user's own
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,  # a terminal's Ctrl-C is the daemon's to answer
        )
    except OSError as error:
        raise SourceUnavailableError(
            f"{redact_url(url)} needs the program ffmpeg, which cannot be started: {error.strerror}. On Debian and "
            "Ubuntu it comes with `sudo apt-get install ffmpeg`."
        ) from error
    assert process.stdout is not None
    assert process.stderr is not None
    stdout, stderr, said = process.stdout, process.stderr, deque[str](maxlen=1)

    def listen() -> None:
        for line in stderr:
            said.append(redact_text(line.decode(errors="replace").replace(url, redact_url(url))).strip())

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()

    def close() -> str:
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(ENDING_S)  # where it has ended the stream, its last words come right before its end
        process.kill()
        process.wait()
        listener.join(ENDING_S)
        stdout.close()
        stderr.close()
        return said[0] if said else ""

    return Connection(stdout.fileno(), close)


def tcp(address: str) -> Connection:
    """A TCP connection to pcm+tcp://HOST:PORT.

    Raises:
        SourceError: Nobody answers there.
        ConfigError: It is no address.
    """
    place = _place(address)
    try:
        connected = socket.create_connection(place, CONNECTING_S)
    except OSError as error:
        raise SourceError(f"{address} does not answer: {error.strerror or error}.") from error
    connected.setblocking(False)

    def close() -> str:
        connected.close()
        return ""

    return Connection(connected.fileno(), close)


def udp(address: str) -> Connection:
    """What is sent to pcm+udp://HOST:PORT, whoever sends it.

    Raises:
        SourceError: It is not this machine's, or somebody else listens there.
        ConfigError: It is no address.
    """
    place = _place(address)
    try:
        family, kind, protocol, _, bound = socket.getaddrinfo(*place, type=socket.SOCK_DGRAM)[0]
        listening = socket.socket(family, kind, protocol)
    except OSError as error:
        raise SourceError(f"{address} cannot be listened to: {error.strerror or error}.") from error
    try:
        listening.setblocking(False)
        listening.bind(bound)
    except OSError as error:
        listening.close()
        raise SourceError(
            f"{address} cannot be listened to: {error.strerror or error}. Give an address of this machine and a port "
            "that is free."
        ) from error

    def close() -> str:
        listening.close()
        return ""

    return Connection(listening.fileno(), close, datagrams=True)


def _place(address: str) -> tuple[str, int]:
    """Host and port."""
    try:
        parts = urlsplit(address)
        if parts.hostname and parts.port:
            return parts.hostname, parts.port
    except ValueError:
        pass
    raise ConfigError(f"{address!r} is no address; write {address.partition('://')[0]}://HOST:PORT.")


def fifo(path: Path) -> Connection:
    """A named pipe; a writer may come and go.

    Raises:
        SourceError: It cannot be opened.
    """
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except OSError as error:
        raise SourceError(f"{path} cannot be opened: {error.strerror}.") from error

    def close() -> str:
        os.close(fd)
        return "nobody writes to it"

    return Connection(fd, close)


def connector_for(device: str, pcm: PcmFormat) -> Callable[[], Connection] | None:
    """What opens the connection that a device's name means; None if it means none."""
    if device.startswith("pcm+tcp://"):
        return partial(tcp, device)
    if device.startswith("pcm+udp://"):
        return partial(udp, device)
    if "://" in device:
        return partial(ffmpeg, device, pcm)
    return partial(fifo, Path(device)) if Path(device).is_fifo() else None
