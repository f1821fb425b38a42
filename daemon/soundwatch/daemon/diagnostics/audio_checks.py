"""The microphones: whether there are any, whether this user may use them, whether one is any good."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from soundwatch.daemon.capture.device_names import list_cards, resolve_device
from soundwatch.daemon.capture.devices import Device, devices_text, find_device, list_devices
from soundwatch.daemon.capture.probe import probe_text, record_probe
from soundwatch.daemon.core.errors import SourceError
from soundwatch.daemon.diagnostics.finding import CheckInput, Finding

SOUND: Final = Path("/dev/snd")


def check_microphones(case: CheckInput) -> Iterator[Finding]:
    """Whether PortAudio lists any, and whether each source's is among them."""
    yield from _permissions()
    try:
        devices = list_devices()
    except SourceError as error:
        yield Finding("microphones", "fault", str(error))
        return
    if devices:
        yield Finding("microphones", "ok", devices_text(devices).partition("\n\n")[0])
    yield from (_found(name, device, devices) for name, device in _microphones(case))


def check_probe(case: CheckInput) -> Iterator[Finding]:
    """What each source's microphone sounds like."""
    for name, device in _microphones(case) if case.listens else ():
        with contextlib.suppress(SourceError):  # told with the microphones
            yield Finding("probe", "ok", f"{name}: {probe_text(record_probe(str(device)))}")


def _permissions() -> Iterator[Finding]:
    """On Linux, whether this user may open sound cards."""
    if not sys.platform.startswith("linux"):
        return
    if not SOUND.is_dir():
        yield Finding("microphones", "note", "No sound card: there is no /dev/snd. A sound server may still have one.")
        return
    closed = [each for each in SOUND.glob("pcm*c") if not os.access(each, os.R_OK | os.W_OK)]
    if closed:
        todo = "sudo usermod -aG audio $USER, then log in again; under systemd the unit does it."
        yield Finding("microphones", "warning", f"This user may not open {closed[0]}.", todo)
    if not list_cards():
        yield Finding(
            "microphones", "warning", "Linux lists no sound card.", "Plug the microphone in; try another port."
        )


def _found(name: str, device: str | int, devices: tuple[Device, ...]) -> Finding:
    try:
        found = find_device(devices, resolve_device(device) if isinstance(device, str) else device)
    except SourceError as error:
        return Finding("microphones", "fault", f"source {name}: {error}", "It is waited for until it is there.")
    return Finding("microphones", "ok", f"source {name} is {found.name}, {found.rate_hz} Hz")


def _microphones(case: CheckInput) -> Iterator[tuple[str, str | int]]:
    """The sources that are microphones, as far as their devices' names tell."""
    for name, source in () if case.config is None else case.config.sources.items():
        device = source.device
        if not (device in ("demo", "-") or (isinstance(device, str) and ("://" in device or Path(device).exists()))):
            yield name, device
