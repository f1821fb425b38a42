"""Sources of PulseAudio and PipeWire, read over the sound server's own protocol.

Conventions: `pulse:NAME` is the server's source NAME, and `pulse` its default source, or the one of `PULSE_SOURCE`. A
source is recorded at its own rate, in 16 bits if it has no more, else as float32, with two channels at most unless
configured.
Does not: decode samples or find losses (`capture/streams/network.py`), or reopen a lost source
(`capture/monitoring/reconnect.py`).
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.capture.descriptors.pipes import LONGEST_GATHER_S
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.sound_server.address import ClientSettings, client_settings, show_address
from soundwatch.daemon.capture.sound_server.connection import SERVER_BYTES, RefusedError, ServerConnection
from soundwatch.daemon.capture.sound_server.protocol import (
    FLOAT32LE,
    S16LE,
    SampleSpecification,
    ServerError,
    ServerHangsError,
    ServerSource,
)
from soundwatch.daemon.capture.streams.connection import Connection
from soundwatch.daemon.capture.streams.network import PIECE_S, NetworkSource
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.records.channels import channels_to_open
from soundwatch.daemon.core.text.printable import printable

DEFAULT: Final = "pulse"
PREFIX: Final = "pulse:"
SERVER_DEFAULT: Final = "@DEFAULT_SOURCE@"  # the server's name for it
POSITIONS: Final = {1: (0,), 2: (1, 2)}  # mono; left and right
GATHER_S: Final = 0.3  # each read costs a wake-up
SAMPLE_FORMATS: Final = {"s16le": S16LE, "f32le": FLOAT32LE}
FIRST_S: Final = 2.5
ADVICE: Final = "Check that the server (PulseAudio, PipeWire) runs for this user, or set PULSE_SERVER and PULSE_COOKIE."
HANGS_ADVICE: Final = "It hangs: restart it (PulseAudio, PipeWire), or the machine that it runs on."
NO_REPLY_ADVICE: Final = (
    "It hangs, or PipeWire runs without its session manager (WirePlumber), which needs D-Bus. Restart both."
)
LONGEST_PAUSE_S: Final = 1.0  # a source that returns is recorded within two seconds


def is_server_source(device: str | int) -> bool:
    """Return True for `pulse` and `pulse:NAME`."""
    return device == DEFAULT or str(device).startswith(PREFIX)


def open_server_source(name: str, device: str, channels: int | None) -> NetworkSource:
    """Open a source of the sound server that ends at its first loss.

    Args:
        name: The source's name in events.
        device: `pulse` or `pulse:NAME`.
        channels: Number of channels to record; None for the source's own, two at most.

    Raises:
        SourceError: The server does not answer, or has no such source.
    """
    record = _open_record(device, channels)
    longest_s = longest_gather_s(record.pcm.rate_hz * record.pcm.frame_bytes)
    connection = Connection(
        record.sound.fileno(),
        record.close,
        gather_s=min(GATHER_S, longest_s),
        longest_gather_s=longest_s,
        interrupt=record.sound.interrupt,
        first_s=FIRST_S,
        receive=record.receive,
        message_fd=record.watch.fileno(),
    )
    description = device if device != DEFAULT else f"{DEFAULT}, {printable(record.source_name)}"
    return NetworkSource(name, description, lambda: connection, record.pcm)


@dataclass(frozen=True, slots=True)
class _Record:
    """A source that the server records for this program.

    Attributes:
        watch: Connection that follows the source.
        sound: Connection that the sound comes through.
        connections: Closes both.
        source_name: The server's name for the source.
        pcm: Format of the sound.
    """

    watch: ServerConnection
    sound: ServerConnection
    connections: contextlib.ExitStack
    source_name: str
    pcm: PcmFormat

    def receive(self, size_bytes: int, expected_bytes: int) -> bytes:
        """Return at most `size_bytes` of sound; none at its end, as when the source went away.

        Raises:
            BlockingIOError: No sound has arrived.
        """
        if not self.watch.has_ended():
            return self.sound.receive(size_bytes, expected_bytes)
        try:
            return self.sound.receive(size_bytes, 0)  # the sound before the end
        except BlockingIOError:
            return b""
        finally:
            self.sound.end(self.watch.reason)

    def close(self, *, received: bool) -> str:  # noqa: ARG002 -- a `Closing`
        """Close both connections, and return the reason of the end."""
        self.connections.close()
        return self.sound.reason or "the sound server stopped delivering. Plug the microphone in, or start the server."


def _open_record(device: str, channels: int | None) -> _Record:
    """Let the server record a source; the arguments are those of `open_server_source`."""
    settings = client_settings()
    wanted = device.removeprefix(PREFIX) if device != DEFAULT else settings.source
    with contextlib.ExitStack() as connections:
        watch = connections.enter_context(contextlib.closing(_connect(device, settings)))
        sound = connections.enter_context(contextlib.closing(_connect(device, settings)))
        try:
            source = _watch_source(watch, wanted)
            channels = channels_to_open(device, len(source.positions), channels)
            pcm = PcmFormat("s16le" if source.has_16_bits else "f32le", source.rate_hz, channels)
            form = SampleSpecification(SAMPLE_FORMATS[pcm.sample_format], channels, pcm.rate_hz)
            sound.record(wanted, form, _positions(source, channels), PIECE_S)
        except ServerError as error:
            advice = f" {NO_REPLY_ADVICE}" if isinstance(error, ServerHangsError) else ""
            raise SourceError(f"{device} cannot be recorded: the sound server {error}.{advice}") from error
        return _Record(watch, sound, connections.pop_all(), source.name, pcm)


def longest_gather_s(bytes_a_second: int) -> float:
    """Return the length of sound that may wait for a read: half of what the server keeps, at most."""
    return min(LONGEST_GATHER_S, SERVER_BYTES / bytes_a_second / 2)


def connect_server(settings: ClientSettings) -> ServerConnection:
    """Connect to the first address at which a server answers.

    Raises:
        ServerHangsError: No server answers, and one of them hangs.
        ServerError: No server answers.
    """
    failures, kind = [], ServerError
    for address in settings.addresses:
        try:
            return ServerConnection(address, settings.cookie)
        except ServerError as error:
            cookie = f" {settings.cookie_origin}" if isinstance(error, RefusedError) else ""
            failures.append(f"{error}{cookie} ({show_address(address)})")
            kind = ServerHangsError if isinstance(error, ServerHangsError) else kind
    raise kind(", ".join(failures))


def missing_source(wanted: str | None, names: Iterable[str]) -> SourceError:
    """Return the error for a source that the server lacks.

    Args:
        wanted: Name of the source; None for the server's default.
        names: Names of the server's sources.
    """
    listed = "".join(f"\n  {PREFIX}{printable(name)}" for name in names)
    if not listed or wanted is None:
        return SourceError("The sound server has no source. Plug a microphone in.")
    return SourceError(f"The sound server has no source {wanted!r}. It has these:{listed}")


def _connect(device: str, settings: ClientSettings) -> ServerConnection:
    """Connect to the server of a source.

    Raises:
        SourceError: No server answers.
    """
    try:
        return connect_server(settings)
    except ServerError as error:
        advice = HANGS_ADVICE if isinstance(error, ServerHangsError) else ADVICE
        raise SourceError(f"{device} was expected, and the sound server {error}. {advice}") from error


def _watch_source(server: ServerConnection, wanted: str | None) -> ServerSource:
    """Return a source, about which messages arrive from now on.

    Raises:
        SourceError: The server has no such source. The message lists the sources.
    """
    try:
        return server.watch(SERVER_DEFAULT if wanted is None else wanted, fixed=wanted is not None)
    except RefusedError as error:
        sources = sorted(server.list_sources(), key=lambda source: source.monitor)
        raise missing_source(wanted, [source.name for source in sources]) from error


def _positions(source: ServerSource, channels: int) -> tuple[int, ...]:
    """Return the positions of the recorded channels."""
    own = source.positions[:channels]
    return own if channels == len(source.positions) else POSITIONS.get(channels, own)
