"""Checks of the microphones: presence, permissions, and the quality of their sound."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soundwatch.daemon.capture import source_kind
from soundwatch.daemon.capture.microphones.inputs import Inputs, find_input, list_inputs
from soundwatch.daemon.capture.microphones.probe import ADVICE, probe_text, record_probe
from soundwatch.daemon.capture.portaudio.device_names import list_cards
from soundwatch.daemon.capture.portaudio.devices import devices_text
from soundwatch.daemon.capture.sound_server.devices import describe_server_device, server_devices_text
from soundwatch.daemon.capture.sound_server.source import is_server_source
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.detection.calibration import NOT_CALIBRATED, calibrate_command
from soundwatch.daemon.diagnostics.doctor.finding import CheckInput, Finding, State

SOUND: Final = Path("/dev/snd")
SILENT: Final = frozenset({"silent", "opposite_channels", "stalls"})  # faults with which no event can be detected


def check_microphones(case: CheckInput) -> Iterator[Finding]:
    """Check that PortAudio or the sound server lists microphones, and the one of each source."""
    yield from _permissions()
    inputs = list_inputs()
    microphones = tuple(_microphones(case))
    if inputs.portaudio_error:
        spared = microphones and all(is_server_source(device) for _, device in microphones)
        yield Finding("microphones", "note" if spared else "fault", inputs.portaudio_error)
    if inputs.portaudio:
        yield Finding("microphones", "ok", _table(devices_text(inputs.portaudio)))
    if inputs.server_error:
        yield Finding("microphones", "warning", inputs.server_error)
    if inputs.server:
        seen = f"The sound server answers.\n{_table(server_devices_text(inputs.server))}"
        yield Finding("microphones", "ok", seen)
    for name, device in microphones:
        if is_server_source(device) or not inputs.portaudio_error:
            yield _found(name, device, inputs)


def _table(text: str) -> str:
    """Return a list without its notes."""
    return text.partition("\n\n")[0]


def check_probe(case: CheckInput) -> Iterator[Finding]:
    """Record a few seconds of each source's microphone and assess the sound."""
    microphones = tuple(_microphones(case)) if case.listens else ()
    inputs = list_inputs() if microphones else Inputs()
    for name, device in microphones:
        if _found(name, device, inputs).state == "ok":  # a missing one is a finding of `check_microphones`
            yield _assess(name, str(device))


def check_calibration(case: CheckInput) -> Iterator[Finding]:
    """Report each microphone without a calibration, with the command that sets the thresholds of its place."""
    if case.config is None or case.config.detection.calibration is not None:
        return
    for name, device in _microphones(case):
        if case.config.sources[name].detection.calibration is None:
            seen = NOT_CALIBRATED.format(source=name)
            command = calibrate_command(name, device, case.path, configured=True)
            yield Finding("calibration", "note", seen, f"`{command}` sets the thresholds of this place.")


def _assess(name: str, device: str) -> Finding:
    """Assess one microphone; the severity is that of its worst fault."""
    try:
        probe = record_probe(device)
    except SourceError as error:
        return Finding("probe", "fault", f"{name}: {error}", "Close other programs that use the microphone.")
    faults = probe.quality.faults
    state: State = "fault" if SILENT & set(faults) else "warning" if faults else "ok"
    return Finding("probe", state, f"{name}: {probe_text(probe)}", " ".join(ADVICE[fault] for fault in faults))


def _permissions() -> Iterator[Finding]:
    """Check on Linux that this user may open sound cards."""
    if not sys.platform.startswith("linux"):
        return
    if not SOUND.is_dir():
        yield Finding("microphones", "note", "No sound card: there is no /dev/snd. A sound server may still have one.")
        return
    closed = [path for path in SOUND.glob("pcm*c") if not os.access(path, os.R_OK | os.W_OK)]
    if closed:
        todo = "sudo usermod -aG audio $USER, then log in again; under systemd the unit does it."
        yield Finding("microphones", "warning", f"This user may not open {closed[0]}.", todo)
    if not list_cards():
        yield Finding(
            "microphones", "warning", "Linux lists no sound card.", "Plug the microphone in; try another port."
        )


def _found(name: str, device: str | int, inputs: Inputs) -> Finding:
    """Check that the microphone of a source is listed."""
    try:
        found = find_input(inputs, device)
    except SourceError as error:
        return Finding("microphones", "fault", f"source {name}: {error}", "`soundwatch run` waits for the device.")
    shown = f"{found.device}, {describe_server_device(found)}" if is_server_source(device) else found.name
    return Finding("microphones", "ok", f"source {name} is {shown}, {found.rate_hz} Hz")


def _microphones(case: CheckInput) -> Iterator[tuple[str, str | int]]:
    """Return the sources whose device names are those of microphones."""
    for name, source in () if case.config is None else case.config.sources.items():
        if source_kind(source.device).name == "microphone":
            yield name, source.device
