"""All inputs of this machine: PortAudio's devices, then the sound server's sources.

Conventions: either list may fail without the other one.
Does not: open an input.
"""

from __future__ import annotations

from dataclasses import dataclass

from soundwatch.daemon.capture.device_names import resolve_device
from soundwatch.daemon.capture.devices import Device, devices_text, find_device, list_devices
from soundwatch.daemon.capture.sound_server import is_server_source
from soundwatch.daemon.capture.sound_server_devices import find_server_device, list_server_devices, server_devices_text
from soundwatch.daemon.core.errors import SourceError


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


def list_inputs(required: bool = True) -> Inputs:
    """List the inputs.

    Args:
        required: Raise PortAudio's failure if the sound server lists no source either.

    Raises:
        SourceError: PortAudio failed, and no source is listed.
    """
    portaudio: tuple[Device, ...] = ()
    server: tuple[Device, ...] = ()
    server_error = ""
    failure: SourceError | None = None
    try:
        portaudio = list_devices()
    except SourceError as error:
        failure = error
    try:
        server = list_server_devices()
    except SourceError as error:
        server_error = str(error)
    if failure is not None and required and not server:
        raise failure
    return Inputs(portaudio, server, "" if failure is None else str(failure), server_error)


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
    if inputs.portaudio or not (inputs.portaudio_error or any(not source.monitor for source in inputs.server)):
        parts.append(devices_text(inputs.portaudio))
    if inputs.server:
        parts.append(server_devices_text(inputs.server))
    return "\n\n".join(parts)
