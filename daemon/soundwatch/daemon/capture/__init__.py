"""Sources of audio: microphones, network streams, recordings, raw PCM and the demo scene, each a `Source`.

Conventions: samples are (C, S) float32 at the source's own rate; time is counted in samples from 0. `open_source` maps
a device string to the kind of source.
Never: resample, mix channels or classify.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundwatch.daemon.capture.capture_process import MicrophoneProcess
from soundwatch.daemon.capture.demo import Demo
from soundwatch.daemon.capture.folder import Folder
from soundwatch.daemon.capture.microphone import Microphone
from soundwatch.daemon.capture.monitor import MonitoredSource
from soundwatch.daemon.capture.network import NetworkSourceAudit, connector_for
from soundwatch.daemon.capture.pacing import Pace
from soundwatch.daemon.capture.raw_pcm import PcmFormat, RawPcm, standard_input
from soundwatch.daemon.capture.reconnect import ReconnectingSource, open_reconnecting
from soundwatch.daemon.capture.recording import RECORDING_SUFFIXES, Recording, recordings_in
from soundwatch.daemon.core.channels import MIN_CHANNELS, ChannelSelection
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.core.redact import redact_url
from soundwatch.daemon.core.source import LiveSource, Source

__all__ = [
    "Demo",
    "Microphone",
    "Pace",
    "PcmFormat",
    "RawPcm",
    "Recording",
    "open_lasting",
    "open_source",
    "recordings_in",
]

_SUFFIXES: Final = (*RECORDING_SUFFIXES, ".m4a", ".aac", ".wma", ".raw", ".pcm")  # the last five are refused
_PATH_STARTS: Final = ("/", "./", "../", "~/")


def open_source(name: str, device: str | int, channels: int | None = None, pcm: str = "s16le,44100,1") -> Source:
    """The live source that `device` means.

    Args:
        name: As events carry it.
        device: `demo`; `-` for raw PCM on standard input; a recording's path; else a microphone's name, a part
            of it, its index, or `default`.
        channels: How many a microphone is opened with; None for its own, two at most.
        pcm: Format of raw PCM: sample format, rate in Hz, channels.

    Raises:
        SourceError: It cannot be opened.
        ConfigError: `pcm` does not read.
    """
    if device == "demo":
        return Demo(name)
    if device == "-":
        return RawPcm(name, standard_input(), PcmFormat.parse(pcm))
    if isinstance(device, str) and _is_path(device):
        return Recording(name, Path(device).expanduser())
    return Microphone(name, device, channels)


def open_live_source(
    name: str,
    device: str | int,
    channels: int | ChannelSelection | None = None,
    pcm: str = "s16le,44100,1",
    wait: bool = True,
) -> LiveSource:
    """The same and more: examined all the time; and what can be lost and come back is opened again whenever it is.

    Args:
        name: As for `open_source`, and so are `device`, `channels` and `pcm`.
        device: See there; or a URL that ffmpeg reads, pcm+tcp://HOST:PORT, pcm+udp://HOST:PORT, a named pipe's or a
            folder's path.
        channels: See there; or which of them are to be heard.
        pcm: See there.
        wait: Whether to wait for a microphone that is not there yet, rather than to fail.

    Raises:
        SourceError: It cannot be opened, or has fewer channels than the choice needs.
        ConfigError: `pcm` does not read.
    """
    choice = channels if isinstance(channels, str) else None
    count = channels if isinstance(channels, int) else None
    if choice is not None and MIN_CHANNELS[choice] > 1:
        count = MIN_CHANNELS[choice]
    source = _open_lasting(name, device, count, pcm, wait)
    found = source.info.channels
    if choice is not None and 0 < found < MIN_CHANNELS[choice]:
        source.stop()
        raise SourceError(
            f"channels: {choice} was asked of {source.info.description}, which has {found}; it takes two. Ask for left "
            "or mix, leave it out, or say in `pcm` that there are two."
        )
    return MonitoredSource(source, choice)


def _open_lasting(name: str, device: str | int, channels: int | None, pcm: str, wait: bool) -> LiveSource:
    pcm_format = PcmFormat.parse(pcm)
    connect = connector_for(str(device), pcm_format)
    if connect is not None:
        description = redact_url(str(device))
        return open_reconnecting(
            lambda: NetworkSourceAudit(name, description, connect, pcm_format), name, description, wait
        )
    if Path(str(device)).expanduser().is_dir():
        return Folder(name, Path(str(device)).expanduser())
    if device in ("demo", "-") or (isinstance(device, str) and _is_path(device)):
        return open_source(name, device, channels, pcm)
    first = MicrophoneProcess(name, device, channels, wait)
    return ReconnectingSource(first, lambda: MicrophoneProcess(name, device, channels, wait=True))


def _is_path(device: str) -> bool:
    """Whether a recording is meant: one that is there, or what looks like one."""
    looks_so = device.startswith(_PATH_STARTS) or device.lower().endswith(_SUFFIXES)
    return looks_so or (not device.isdecimal() and Path(device).exists())
