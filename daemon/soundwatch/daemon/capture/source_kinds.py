"""The table of source kinds, and how a source is opened.

Conventions: a kind is added by one entry in `SOURCE_KINDS`, which is searched in order; the last entry matches all.
Does not: read sound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from soundwatch.daemon.capture.address_kinds import ADDRESS_KINDS, LOCAL_PAUSE_S, reconnecting
from soundwatch.daemon.capture.demo.scene import Demo
from soundwatch.daemon.capture.kind import SourceKind, SourceRequest
from soundwatch.daemon.capture.microphones.open_microphone import open_live_microphone, open_microphone
from soundwatch.daemon.capture.monitoring.monitor import MonitoredSource
from soundwatch.daemon.capture.monitoring.source_wrapper import SourceWrapper, close_unused
from soundwatch.daemon.capture.name_candidates import device_names
from soundwatch.daemon.capture.path_kinds import is_fifo, is_recording, is_recordings_folder, looks_like_path
from soundwatch.daemon.capture.recordings.folder import Folder
from soundwatch.daemon.capture.recordings.recording import Recording
from soundwatch.daemon.capture.samples.pcm_format import PcmFormat
from soundwatch.daemon.capture.streams.certificates import CHECKED, check_certificate
from soundwatch.daemon.capture.streams.connect import connect_fifo
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.capture.streams.raw_pcm import RawPcm, standard_input
from soundwatch.daemon.core.errors import ConfigError, SourceError
from soundwatch.daemon.core.files.paths import is_there, literal_path
from soundwatch.daemon.core.records.block import Block
from soundwatch.daemon.core.records.channels import MIN_CHANNELS, ChannelSelection
from soundwatch.daemon.core.records.source import LiveSource, Source, SourceInfo


def source_kind(device: str | int) -> SourceKind:
    """Return the kind of a device.

    Raises:
        ConfigError: The device is empty.
    """
    if not str(device).strip():
        raise ConfigError("The device is empty. Write `default`, or a name that `soundwatch devices` lists.")
    return next(kind for kind in SOURCE_KINDS if kind.matches(device))


def check_source(device: str | int) -> None:
    """Refuse an address that is malformed, without opening it.

    Raises:
        ConfigError: It is.
    """
    if "://" in str(device) and (check := source_kind(device).check) is not None:  # others need the microphones
        check(str(device))


def locate_device(device: str | int) -> str | int:
    """Return the path of a device that is the bare name of a file or folder, as ./nights for nights; else the device.

    The kind of a bare name depends on the connected microphones, which take a second to list; that of a path does not.
    """
    text = str(device)
    is_bare_path = text.strip() and is_there(literal_path(text)) and not looks_like_path(text)
    return f"./{device}" if is_bare_path and source_kind(device).name in ("folder", "recording") else device


def open_source(
    name: str,
    device: str | int,
    channels: int | ChannelSelection | None = None,
    pcm: str = "s16le,44100,1",
    certificate: str = CHECKED,
) -> Source:
    """Open a source that ends at its first loss; one with a selection of channels is opened again instead.

    Args:
        name: Name in events.
        device: `demo`; `-` for raw PCM on standard input; a URL that ffmpeg reads; pcm+tcp://HOST:PORT;
            pcm+udp://HOST:PORT; wyoming://HOST:PORT; the path of a recording, a named pipe or a folder; else a
            microphone's name, a part of it, its index, or `default`.
        channels: Number of channels of a microphone, None for its own, two at most; or a selection of channels.
        pcm: Format of raw PCM: sample format, rate in Hz, channels.
        certificate: Check of a server's certificate: `checked`, `unchecked`, or a file with issuers.

    Raises:
        SourceError: The source cannot be opened.
        ConfigError: `pcm` is malformed, an address is ambiguous, or a file holds no certificate.
    """
    if isinstance(channels, str):
        return _BlocksOnly(open_live_source(name, device, channels, pcm, certificate, wait=False))
    check_certificate(certificate)
    request = SourceRequest(name, device, channels, PcmFormat.parse(pcm), wait=False, certificate=certificate)
    return source_kind(device).open(request)


class _BlocksOnly(SourceWrapper):
    """A source without its notices."""

    def blocks(self) -> Iterator[Block]:
        return (item for item in self._source.blocks() if isinstance(item, Block))


def open_live_source(
    name: str,
    device: str | int,
    channels: int | ChannelSelection | None = None,
    pcm: str = "s16le,44100,1",
    certificate: str = CHECKED,
    *,
    wait: bool = True,
) -> LiveSource:
    """Open a monitored source that is reopened after each loss.

    Args:
        name: As for `open_source`, and so are `device` and `pcm`.
        device: As for `open_source`.
        channels: As for `open_source`.
        pcm: As for `open_source`.
        certificate: As for `open_source`.
        wait: Wait for an absent device instead of failing.

    Raises:
        SourceError: The source cannot be opened, or has fewer channels than the selection needs.
        ConfigError: `pcm` is malformed, an address is ambiguous, or a file holds no certificate.
    """
    check_certificate(certificate)
    choice = channels if isinstance(channels, str) else None
    count = channels if isinstance(channels, int) else None
    if choice is not None and MIN_CHANNELS[choice] > 1:
        count = MIN_CHANNELS[choice]
    least = 1 if choice is None else MIN_CHANNELS[choice]
    request = SourceRequest(name, device, count, PcmFormat.parse(pcm), wait, certificate, least)
    source = source_kind(device).open_live(request)
    found = source.info.channels
    if 0 < found < least:
        close_unused(source)
        raise SourceError(
            f"channels: {choice} was configured for {source.info.description}, which has {found}; {choice} needs two. "
            "Use left or mix, remove the key, or set two channels in `pcm`."
        )
    return MonitoredSource(source, choice)


def _open_fifo(request: SourceRequest) -> NetworkSource:
    return NetworkSource(request.name, str(request.path), lambda: connect_fifo(request.path), request.pcm)


def _open_live_fifo(request: SourceRequest) -> LiveSource:
    info = SourceInfo(request.name, str(request.path), request.pcm.rate_hz, request.pcm.channels)
    return reconnecting(_open_fifo, request, info, LOCAL_PAUSE_S)


def _same(name: str, matches: Callable[[str | int], bool], open_: Callable[[SourceRequest], Source]) -> SourceKind:
    """Build a kind that cannot be lost."""
    return SourceKind(name, matches, open_, open_, device_names)


SOURCE_KINDS: Final[tuple[SourceKind, ...]] = (
    _same("demo", lambda device: device == "demo", lambda request: Demo(request.name)),
    _same("stdin", lambda device: device == "-", lambda request: RawPcm(request.name, standard_input(), request.pcm)),
    *ADDRESS_KINDS,
    SourceKind("fifo", is_fifo, _open_fifo, _open_live_fifo, device_names),
    SourceKind(
        "folder",
        is_recordings_folder,
        lambda request: _BlocksOnly(Folder(request.name, request.path)),
        lambda request: Folder(request.name, request.path),
        device_names,
    ),
    _same("recording", is_recording, lambda request: Recording(request.name, request.path, measure=True)),
    SourceKind(
        "microphone",
        lambda _: True,
        lambda request: open_microphone(request.name, request.device, request.channels),
        lambda request: open_live_microphone(request.name, request.device, request.channels, wait=request.wait),
        device_names,
    ),
)
