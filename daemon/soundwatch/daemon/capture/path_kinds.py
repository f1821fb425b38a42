"""Devices that are paths: recordings, folders of them, and named pipes.

Rule: a bare name of a file or folder means a connected microphone of that name first; a path never does.
Does not: read a file.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from soundwatch.daemon.capture.microphones.inputs import list_inputs
from soundwatch.daemon.capture.portaudio.devices import match_devices
from soundwatch.daemon.capture.recordings.recording import RECORDING_SUFFIXES
from soundwatch.daemon.core.files.paths import is_folder, is_pipe, is_there, literal_path

_SUFFIXES: Final = (*RECORDING_SUFFIXES, ".raw", ".pcm")  # opening the last two fails
_PREFIXES: Final = ("/", "./", "../", "~/")


def is_fifo(device: str | int) -> bool:
    """Return True for a named pipe."""
    return is_pipe(literal_path(str(device)))


def is_recordings_folder(device: str | int) -> bool:
    """Return True for an existing folder."""
    text = str(device)
    return is_folder(literal_path(text)) and (text.startswith(_PREFIXES) or not _names_microphone(text))


def is_recording(device: str | int) -> bool:
    """Return True for an existing file, or for text that looks like the path of one.

    It is asked after `is_recordings_folder`, so a bare name of a folder is that of a microphone here.
    """
    if isinstance(device, int):
        return False
    path = Path(device)
    return looks_like_path(device) or (is_there(path) and not is_folder(path) and not _names_microphone(device))


def looks_like_path(device: str) -> bool:
    """Return True for text that is a path whatever microphones there are."""
    return device.startswith(_PREFIXES) or device.lower().endswith(_SUFFIXES)


def _names_microphone(device: str) -> bool:
    """Return True if a bare name is that of a connected microphone; False if PortAudio does not list any."""
    return device.isdecimal() or device == "default" or bool(match_devices(list_inputs().portaudio, device))
