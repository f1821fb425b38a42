"""Opening of microphones: of the sound server over its protocol, of others through PortAudio.

Does not: recognize other kinds of sources (`capture/source_kinds.py`).
"""

from __future__ import annotations

from functools import partial

from soundwatch.daemon.capture.microphones.capture_process import MicrophoneProcess
from soundwatch.daemon.capture.monitoring.reconnect import ReconnectingSource, open_reconnecting
from soundwatch.daemon.capture.portaudio.microphone import Microphone
from soundwatch.daemon.capture.sound_server.source import LONGEST_PAUSE_S, is_server_source, open_server_source
from soundwatch.daemon.capture.streams.network import NetworkSource
from soundwatch.daemon.core.records.source import SourceInfo


def open_microphone(name: str, device: str | int, channels: int | None) -> NetworkSource | Microphone:
    """Open a microphone that ends at its first loss.

    Raises:
        SourceError: The microphone cannot be opened.
    """
    if is_server_source(device):
        return open_server_source(name, str(device), channels)
    return Microphone(name, device, channels)


def open_microphone_apart(name: str, device: str | int, channels: int | None) -> NetworkSource | MicrophoneProcess:
    """Open a microphone that ends at its first loss, in another process.

    Raises:
        SourceError: The microphone cannot be opened.
    """
    if is_server_source(device):
        return open_server_source(name, str(device), channels)
    return MicrophoneProcess(name, device, channels, wait=False)


def open_live_microphone(name: str, device: str | int, channels: int | None, *, wait: bool) -> ReconnectingSource:
    """Open a microphone in another process, and again after each loss.

    Raises:
        SourceError: The microphone cannot be opened, and `wait` is False.
        SourceUnavailableError: A retry cannot help.
    """
    if is_server_source(device):
        connect = partial(open_server_source, name, str(device), channels)
        return open_reconnecting(
            connect, SourceInfo(name, str(device), 0, 0), wait=wait, later=True, longest_pause_s=LONGEST_PAUSE_S
        )
    reopen = partial(MicrophoneProcess, name, device, channels, wait=True)
    return ReconnectingSource(MicrophoneProcess(name, device, channels, wait=wait), reopen)
