"""Sound of a Wyoming satellite or microphone service: `wyoming://HOST:PORT`.

Conventions: the service sends its format with its sound, so `pcm` is not used. A thread reads the service's messages
and writes the samples into a pipe; a full pipe slows the service. A service that sends a message beyond the limit of
size, or a malformed one, is lost, and its reason is kept. A satellite serves one program at a time, so Home Assistant
cannot use it meanwhile.
Source: github.com/OHF-voice/wyoming (package `wyoming`).
Does not: take part in a conversation: no wake word, transcript or answer is requested.
"""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from typing import TYPE_CHECKING, Any, BinaryIO, Final, cast

from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.connect import CONNECTING_S, parse_address
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.network.redact import redact_url
from soundwatch.daemon.core.process.extras import install_command

if TYPE_CHECKING:
    from wyoming.event import Event

MAX_MESSAGE_BYTES: Final = 1 << 20
SAMPLE_FORMATS: Final = {1: "u8", 2: "s16le", 3: "s24le", 4: "s32le"}  # by bytes of a sample


def check_wyoming(url: str) -> None:
    """Refuse an address that can never be opened.

    Raises:
        ConfigError: The address is malformed, or the package `wyoming` is missing.
    """
    parse_address(url)
    try:
        import wyoming.event  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"{url} needs the package wyoming, which is not installed. Install it with {install_command('wyoming')}."
        ) from error


def open_wyoming(name: str, url: str, least_channels: int = 1) -> NetworkSource:
    """Connect to wyoming://HOST:PORT, and wait for its first sound.

    Args:
        name: The source's name in events.
        url: Address of the service.
        least_channels: Number of channels that are needed.

    Raises:
        SourceError: The service does not answer, sends no sound, or has fewer channels.
        ConfigError: As for `check_wyoming`.
    """
    check_wyoming(url)
    host, port, _ = parse_address(url)
    try:
        satellite = _Satellite(socket.create_connection((host, port), CONNECTING_S), url)
    except OSError as error:
        raise SourceError(f"{url} does not answer: {error.strerror or error}.") from error
    try:
        first = satellite.start()
        pcm = _format_of(first, url)
        if pcm.channels < least_channels:
            raise SourceError(
                f"{url} sends {pcm.channels} channel, and `channels` needs {least_channels}. Use left or mix, or "
                "remove the key."
            )
    except TimeoutError as error:
        satellite.close()
        raise SourceError(
            f"{url} sent no sound for {CONNECTING_S:g} s. A satellite that waits for a wake word sends none; "
            "let it stream always, or use its microphone service."
        ) from error
    except OSError as error:
        satellite.close()
        raise SourceError(f"{url} was lost: {error}.") from error
    except SourceError:
        satellite.close()
        raise
    writer = _PipeWriter(satellite, first, pcm)
    threading.Thread(target=writer.run, name="wyoming", daemon=True).start()
    return NetworkSource(name, redact_url(url), lambda: Connection(writer.read_fd, writer.close), pcm)


class _Satellite:
    """A connection to a service.

    Args:
        connected: The connection, with a time limit.
        url: Address, for messages.
    """

    def __init__(self, connected: socket.socket, url: str) -> None:
        self.url = url
        self._socket = connected
        self._file = connected.makefile("rb")
        self._reader = cast(BinaryIO, _BoundedReader(self._file))
        self._writer = connected.makefile("wb", buffering=0)

    def start(self) -> Event:
        """Ask for sound, and return the first message with sound; from then on there is no time limit.

        Raises:
            OSError: The connection is lost, or the time is over.
            SourceError: The service has closed the connection.
        """
        from wyoming.event import Event, write_event

        write_event(Event("run-satellite"), cast(BinaryIO, self._writer))
        first = self.next_sound()
        if first is None:
            raise SourceError(f"{self.url} closed the connection before any sound.")
        self._socket.settimeout(None)
        return first

    def next_sound(self) -> Event | None:
        """Return the next message with sound, or None at the end; answer pings.

        Raises:
            OSError: The connection is lost, or a message is malformed.
        """
        from wyoming.event import Event, read_event, write_event

        try:
            while (event := read_event(self._reader)) is not None:
                if event.type == "ping":
                    write_event(Event("pong", event.data), cast(BinaryIO, self._writer))
                elif event.type == "audio-chunk":
                    return event
        except (AttributeError, LookupError, RecursionError, TypeError) as error:  # not the JSON of a message
            raise OSError(f"a message is malformed: {type(error).__name__}: {error}") from error
        return None

    def shut_down(self) -> None:
        """End the connection, also while another thread reads."""
        with contextlib.suppress(OSError):  # the service has ended it
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Release the connection, which no other thread uses any more."""
        self._file.close()
        self._writer.close()
        self._socket.close()


def _format_of(event: Event, url: str) -> PcmFormat:
    """Return the format of a message's sound.

    Raises:
        SourceError: The message has no format that can be read.
    """
    data: dict[str, Any] = event.data
    try:
        return PcmFormat(SAMPLE_FORMATS[data["width"]], int(data["rate"]), int(data["channels"]))
    except (LookupError, TypeError, ValueError, ConfigError) as error:
        raise SourceError(f"{url} sends sound of an unknown format: {type(error).__name__}: {error}.") from error


class _BoundedReader:
    """A reader of messages whose parts are at most `MAX_MESSAGE_BYTES` long."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readline(self) -> bytes:
        """Read a line.

        Raises:
            OSError: It is too long.
        """
        line = self._file.readline(MAX_MESSAGE_BYTES)
        if len(line) == MAX_MESSAGE_BYTES:
            raise OSError(f"a message is longer than {MAX_MESSAGE_BYTES} bytes")
        return line

    def read(self, size: int) -> bytes:
        """Read up to `size` bytes.

        Raises:
            OSError: More are announced than a message may have.
        """
        if size > MAX_MESSAGE_BYTES:
            raise OSError(f"a message of {size} bytes was announced; at most {MAX_MESSAGE_BYTES} are read")
        return self._file.read(size)


class _PipeWriter:
    """Writes the sound of a service into a pipe.

    Args:
        satellite: The service.
        first: Its first message with sound.
        pcm: The format, which must not change.
    """

    def __init__(self, satellite: _Satellite, first: Event, pcm: PcmFormat) -> None:
        self.read_fd, self._write_fd = os.pipe()
        self._satellite = satellite
        self._first = first
        self._pcm = pcm
        self._reason = ""
        self._ended = threading.Event()

    def run(self) -> None:
        """Write until the connection or the pipe ends; the target of a thread."""
        event: Event | None = self._first
        try:
            with open(self._write_fd, "wb", buffering=0) as pipe:  # noqa: PTH123  # a descriptor is no path
                while event is not None:
                    if _format_of(event, self._satellite.url) != self._pcm:
                        self._reason = "its format changed"
                        return
                    data = memoryview(event.payload or b"")
                    while data:
                        data = data[pipe.write(data) :]
                    event = self._satellite.next_sound()
        except Exception as error:  # noqa: BLE001  # whatever the service sends, the source is lost and opened again
            self._reason = str(error)
        finally:
            self._ended.set()

    def close(self, *, received: bool) -> str:  # noqa: ARG002 -- a `Closing`
        """Close the connection and the pipe, and return the reason of the end."""
        self._satellite.shut_down()
        os.close(self.read_fd)
        self._ended.wait(CONNECTING_S)
        self._satellite.close()
        return self._reason
