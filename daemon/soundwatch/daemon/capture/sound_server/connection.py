"""A connection to the sound server, over which one source is recorded or watched.

Conventions: no shared memory; all sound comes through the socket. Sound that is not read yet is kept by the server, a
third of a second of stereo in the socket and `SERVER_BYTES` by itself, 24 seconds of stereo in 16 bits or twelve as
float32; it drops later sound without a message. A request is answered
within `REPLY_S`, or the server hangs. Sound is read without blocking.
Source: tests with PulseAudio 16: when a source is removed, the server silently moves its streams to the default source,
unless they have the flag `no_move`; then it ends them with a message.
Does not: choose a source (`capture/sound_server/source.py`), or find losses (`capture/streams/network.py`).
"""

from __future__ import annotations

import contextlib
import socket
import time
from typing import Final

from soundwatch.daemon.capture.sound_server.address import Address, connect_address
from soundwatch.daemon.capture.sound_server.protocol import (
    CONTROL,
    FLOAT32LE,
    MAX_FRAME_BYTES,
    NO_INDEX,
    S16LE,
    VERSION,
    Command,
    Field,
    FrameBuffer,
    SampleSpecification,
    ServerError,
    ServerHangsError,
    ServerSource,
    decode_message,
    decode_sources,
    encode_message,
    malformed,
)

REPLY_S: Final = 2.0
READ_BYTES: Final = 1 << 18  # all that a socket keeps
REFILL_S: Final = 0.005  # the server fills the socket again within this time,
LATE_REFILLS: Final = 20  # or on a busy machine within so many times of it
LONGEST_READ_S: Final = 0.5
MOST_READS: Final = 16  # of messages at once
PROPERTIES: Final = {"application.name": b"soundwatch\0", "media.name": b"soundwatch\0"}
SOURCE_EVENTS: Final = 0x02
SOURCE_REMOVED: Final = 0x21
REMOVED: Final = "it was removed: it was unplugged or switched off."
SAMPLE_BYTES: Final = {S16LE: 2, FLOAT32LE: 4}
SERVER_BYTES: Final = 1 << 22  # that a server keeps of a stream; PulseAudio grants no more

_REFUSALS: Final = {1: "denies access", 5: "has no such source"}


class RefusedError(ServerError):
    """A request that the server has refused."""


class ServerConnection:
    """A connection to a sound server.

    Args:
        address: Path of a Unix socket, or host and port.
        cookie: Secret that a server of another user or machine asks for.

    Attributes:
        reason: Reason for the end of the sound; empty unless it is known.

    Raises:
        ServerError: The server does not answer, or denies access.
    """

    def __init__(self, address: Address, cookie: bytes) -> None:
        self.reason = ""
        self._frames = FrameBuffer()
        self._sound: list[bytes] = []
        self._sound_bytes = 0
        self._number = 0
        self._replies: dict[int, list[Field] | ServerError] = {}  # of the last request
        self._recording = False
        self._fixed = False
        self._watched: int | None = None
        self._ended = False
        self._socket = connect_address(address, REPLY_S)
        try:
            self._request(Command.AUTHENTICATE, VERSION, cookie)
            self._request(Command.SET_CLIENT_NAME, PROPERTIES)
        except ServerError:
            self.close()
            raise

    def fileno(self) -> int:
        """Return the file descriptor of the socket."""
        return self._socket.fileno()

    def list_sources(self) -> list[ServerSource]:
        """Return all sources.

        Raises:
            ServerError: The server does not answer.
        """
        return decode_sources(self._request(Command.GET_SOURCES))

    def record(
        self, name: str | None, specification: SampleSpecification, positions: tuple[int, ...], piece_s: float
    ) -> None:
        """Start to record, until `close`.

        Args:
            name: Name of the source, whose end ends the sound; None for the server's default source at each time.
            specification: Form of the samples, of 16 bits or float32.
            positions: Position of each channel; the server mixes the source's channels if they differ.
            piece_s: Longest delay of a sample in the server.

        Raises:
            ServerError: The source cannot be recorded.
        """
        frame_bytes = SAMPLE_BYTES[specification.sample_format] * specification.channels
        piece_bytes = round(specification.rate_hz * piece_s) * frame_bytes
        self._recording, self._fixed = True, name is not None
        corked, no_move, peak_detect, adjust_latency = False, self._fixed, False, True
        as_source = (False,) * 5  # no_remap, no_remix, fix_format, fix_rate, fix_channels
        reply = self._request(
            Command.CREATE_RECORD_STREAM,
            *(specification, positions, NO_INDEX, name, NO_INDEX, corked, piece_bytes),
            *(*as_source, no_move, False, peak_detect, adjust_latency, PROPERTIES, NO_INDEX),
        )
        if specification not in reply:
            raise malformed("a stream of another form than requested")
        self._socket.setblocking(False)

    def watch(self, name: str, *, fixed: bool) -> ServerSource:
        """Return a source, and receive messages about all sources from now on.

        Args:
            name: Name of the source.
            fixed: True if the connection ends once the server removes the source.

        Raises:
            RefusedError: The server has no such source.
            ServerError: The server does not answer.
        """
        self._request(Command.SUBSCRIBE, SOURCE_EVENTS)
        found = decode_sources(self._request(Command.GET_SOURCE, NO_INDEX, name))
        if len(found) != 1:
            raise malformed(f"{len(found)} sources in place of one")
        self._watched = found[0].index if fixed else None
        self._socket.setblocking(False)
        return found[0]

    def has_ended(self) -> bool:
        """Interpret the messages that have arrived, and return True if this was the end."""
        with contextlib.suppress(BlockingIOError):
            for _ in range(MOST_READS):
                if not self._ended:
                    self._read_or_end()
        return self._ended

    def receive(self, size_bytes: int, expected_bytes: int) -> bytes:
        """Return the sound that has arrived, and the one with which the server then fills the socket; none at the end.

        Args:
            size_bytes: Size at which to stop.
            expected_bytes: Size of the sound that should have arrived; more is waited for, 0.1 s at most.

        Raises:
            BlockingIOError: No sound has arrived.
        """
        until_s, empty_reads = time.monotonic() + LONGEST_READ_S, 0
        while not self._ended and self._sound_bytes < size_bytes and time.monotonic() < until_s:
            try:
                self._read_or_end()
                empty_reads = 0
            except BlockingIOError:
                empty_reads += 1
                if empty_reads >= (2 if self._sound_bytes >= expected_bytes else LATE_REFILLS):
                    break
                time.sleep(REFILL_S)
        sound = b"".join(self._sound)
        self._sound.clear()
        self._sound_bytes = 0
        if not sound and not self._ended:
            raise BlockingIOError
        return sound

    def end(self, reason: str) -> None:
        """End the sound, and a wait for more, for a reason."""
        self.reason, self._ended = self.reason or reason, True
        self.interrupt()

    def interrupt(self) -> None:
        """End the sound; safe in a signal handler."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close the connection."""
        self._socket.close()

    def _request(self, command: Command, *arguments: Field) -> list[Field]:
        """Send a request, and return the arguments of its reply.

        Raises:
            RefusedError: The server has refused the request.
            ServerError: The server does not answer.
        """
        self._number += 1
        self._replies.clear()
        until_s = time.monotonic() + REPLY_S
        try:
            self._socket.sendall(encode_message(command, self._number, *arguments))
            while self._number not in self._replies:
                if self._ended:
                    raise ServerError("ended the connection")
                if self._sound_bytes > MAX_FRAME_BYTES:
                    raise malformed("sound in place of a reply")
                if (left_s := until_s - time.monotonic()) <= 0:
                    raise TimeoutError
                self._socket.settimeout(left_s)
                self._read()
        except TimeoutError as error:
            raise ServerHangsError(f"does not answer within {REPLY_S:g} s") from error
        except OSError as error:
            raise ServerError(f"does not answer: {error.strerror or error}") from error
        reply = self._replies.pop(self._number)
        if isinstance(reply, ServerError):
            raise reply
        return reply

    def _read_or_end(self) -> None:
        """Read once; a server that does not follow the protocol ends the connection.

        Raises:
            BlockingIOError: Nothing has arrived.
        """
        try:
            self._read()
        except ServerError as error:
            self.end(f"the sound server {error}.")

    def _read(self) -> None:
        """Read once, and interpret the frames that are whole then.

        Raises:
            BlockingIOError: Nothing has arrived.
            ServerError: The server does not follow the protocol.
        """
        try:
            received = self._socket.recv(READ_BYTES)
        except ConnectionError:
            received = b""
        self._ended = self._ended or not received
        for channel, body in self._frames.add(received):
            if channel == CONTROL:
                self._interpret(*decode_message(body))
            elif not self._recording:
                raise malformed("sound without a stream")
            else:  # there is only one stream
                self._sound.append(body)
                self._sound_bytes += len(body)

    def _interpret(self, command: int, number: int, arguments: list[Field]) -> None:
        """Interpret a message, unless it is of no interest, as volumes are."""
        match command:
            case Command.REPLY if number == self._number:
                self._replies[number] = arguments
            case Command.ERROR if number == self._number:
                code = arguments[0] if arguments and isinstance(arguments[0], int) else 0
                self._replies[number] = RefusedError(_REFUSALS.get(code, f"refuses a request with error {code}"))
            case Command.STREAM_KILLED:
                self.end(REMOVED)
            case Command.EVENT if arguments == [SOURCE_REMOVED, self._watched]:
                self.end(REMOVED)
            case Command.STREAM_MOVED if self._fixed:
                self.end("it was removed: the sound server has replaced it by another one.")
            case Command.STREAM_SUSPENDED if any(argument is True for argument in arguments):  # 1 == True
                self.end("the sound server has suspended it.")
