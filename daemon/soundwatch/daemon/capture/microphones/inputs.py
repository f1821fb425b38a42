"""All inputs of this machine: PortAudio's devices, then the sound server's sources.

Conventions: either list may fail without the other one. The server is asked first, since PortAudio waits for one that
hangs: ALSA asks it for devices. PortAudio is then listed without the server, so its other devices are there.
Does not: open an input.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from soundwatch.daemon.capture.portaudio.device_list import list_devices_apart
from soundwatch.daemon.capture.portaudio.device_names import resolve_device
from soundwatch.daemon.capture.portaudio.devices import Device, devices_text, find_device
from soundwatch.daemon.capture.sound_server.devices import find_server_device, list_server_devices, server_devices_text
from soundwatch.daemon.capture.sound_server.source import is_server_source
from soundwatch.daemon.core.errors import SourceError, StallError

# No server answers there at once, so ALSA's plugins of PulseAudio and PipeWire list nothing and wait for nothing.
_NO_SERVER: Final = {"PULSE_SERVER": "unix:/nonexistent", "PIPEWIRE_REMOTE": "/nonexistent"}


@dataclass(frozen=True, slots=True)
class Inputs:
    """Inputs that were listed, and the failures.

    Attributes:
        portaudio: PortAudio's devices.
        server: Sources of the sound server.
        portaudio_error: Reason if PortAudio's list failed.
        server_error: Reason if the server's list failed.
    """

    portaudio: tuple[Device, ...] = ()
    server: tuple[Device, ...] = ()
    portaudio_error: str = ""
    server_error: str = ""

    @property
    def devices(self) -> tuple[Device, ...]:
        """All inputs."""
        return self.portaudio + self.server

    @property
    def errors(self) -> tuple[str, ...]:
        """The failures."""
        return tuple(filter(None, (self.portaudio_error, self.server_error)))

    @property
    def has_microphone(self) -> bool:
        """True unless each input, if there is one, is a monitor."""
        return bool(self.portaudio) or any(not source.monitor for source in self.server)


def list_inputs() -> Inputs:
    """List the inputs, and the reason for each list that failed."""
    portaudio: tuple[Device, ...] = ()
    server: tuple[Device, ...] = ()
    portaudio_error = server_error = ""
    hangs = False
    try:
        server = list_server_devices()
    except SourceError as error:
        server_error, hangs = str(error), isinstance(error, StallError)
    try:
        portaudio = list_devices_apart(_NO_SERVER if hangs else {})
    except SourceError as error:
        portaudio_error = str(error)
    return Inputs(portaudio, server, portaudio_error, server_error)


def find_input(inputs: Inputs, device: str | int) -> Device:
    """Return the one input that a name means.

    Args:
        inputs: All inputs.
        device: Name of a microphone, or its index.

    Raises:
        SourceError: No input or several inputs match, or the list failed. The message lists the choices.
    """
    if is_server_source(device):
        if inputs.server_error:
            raise SourceError(inputs.server_error)
        return find_server_device(inputs.server, str(device))
    if inputs.portaudio_error:
        raise SourceError(inputs.portaudio_error)
    return find_device(inputs.portaudio, resolve_device(device) if isinstance(device, str) else device)


def inputs_text(inputs: Inputs) -> str:
    """Format the inputs as tables; without a microphone the text has a remedy."""
    parts = []
    if inputs.portaudio or not (inputs.portaudio_error or inputs.has_microphone):
        parts.append(devices_text(inputs.portaudio))
    if inputs.server:
        parts.append(server_devices_text(inputs.server))
    return "\n\n".join(parts)
