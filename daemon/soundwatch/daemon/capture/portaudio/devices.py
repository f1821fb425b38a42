"""PortAudio's input devices, and their names.

Conventions: an index changes at the next start or the next plug; a name stays. ALSA's place of a card,
"(hw:1,0)", is therefore left out of the proposed name if the rest still names one device only. More stable names
are in `capture/portaudio/device_names.py`.
A name that is not UTF-8 is listed with replacement characters; such a device cannot be opened, all others can.
Does not: notice devices that are plugged in after PortAudio started in this process.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any, Final

import msgspec

from soundwatch.daemon.capture.portaudio.device_names import list_cards, stable_names
from soundwatch.daemon.capture.portaudio.library import CALL_S, call_portaudio
from soundwatch.daemon.core.errors import SourceError

_ALSA_PLACE: Final = re.compile(r"\s*\(hw:\d+,\d+\)$")
_NO_INPUT: Final = (
    "No microphone: PortAudio lists no input device. Plug one in, check that the sound server runs and that you may "
    "use it (on Linux `arecord -l`, group `audio`), name a source that a sound server lists (`--device pulse`), or try "
    "`soundwatch run --device demo`."
)


WIDEST_COLUMN: Final = 100


class NoDeviceError(SourceError):
    """PortAudio has no device of a name."""


@dataclass(frozen=True, slots=True)
class Device:
    """One input device.

    Attributes:
        index: PortAudio's current number; None for a source of the sound server.
        name: PortAudio's name, or the sound server's name for people.
        host_api: Sound system; one microphone may be listed under several.
        channels: Largest number of channels.
        rate_hz: Sampling rate of the device.
        default: True for the device of the name `default`.
        device: Text for `--device` or `device:`; empty until known.
        lasting: Other stable names, also for devices of equal names.
        monitor: True for what this machine plays, as a source of the sound server.
    """

    index: int | None
    name: str
    host_api: str
    channels: int
    rate_hz: int
    default: bool
    device: str = ""
    lasting: tuple[str, ...] = ()
    monitor: bool = False


def list_devices(timeout_s: float = CALL_S) -> tuple[Device, ...]:
    """List all input devices.

    Args:
        timeout_s: Time limit.

    Raises:
        SourceError: PortAudio is missing or does not answer.
    """
    found = call_portaudio("Listing the input devices", _query, timeout_s)
    cards = list_cards()
    return tuple(
        replace(device, device=stable_name(found, device), lasting=stable_names(device.name, cards)) for device in found
    )


def find_device(devices: Sequence[Device], wanted: str | int) -> Device:
    """Find the one device that a name means.

    Args:
        devices: All devices.
        wanted: An index; "default"; a name or "name, host API" in full; or a part of one, in any case.

    Raises:
        NoDeviceError: No device matches. The message lists the choices.
        SourceError: Several devices match. The message lists the choices.
    """
    found = match_devices(devices, wanted)
    if len(found) == 1:
        return found[0]
    if not devices:
        raise NoDeviceError(f"Device {wanted!r} was expected. {_NO_INPUT}")
    seen = f"{len(found)} input devices match {wanted!r}" if found else f"No input device matches {wanted!r}"
    choices = "\n".join(f"  --device {quoted_device(device.device)}" for device in found or devices)
    raise (SourceError if found else NoDeviceError)(
        f"{seen}; exactly one was expected. Name one of these, or a recording that exists, `-` or `demo`:\n{choices}"
    )


def stable_name(devices: Sequence[Device], device: Device) -> str:
    """Return the shortest stable name for which `find_device` finds this device only, else the index."""
    for name in (_ALSA_PLACE.sub("", device.name), device.name, f"{device.name}, {device.host_api}"):
        if name and not name.isdecimal() and match_devices(devices, name) == [device]:
            return name
    return str(device.index)


def devices_text(devices: Sequence[Device]) -> str:
    """Format the devices as a table, each with its `--device` option."""
    if not devices:
        return _NO_INPUT
    titles = ("", "index", "name", "host API", "channels", "rate_hz", "to listen to it")
    rows = [titles] + [
        (
            "*" if device.default else "",
            str(device.index),
            device.name,
            device.host_api,
            str(device.channels),
            str(device.rate_hz),
            f"soundwatch run --device {quoted_device(device.device)}",
        )
        for device in devices
    ]
    table = format_table(rows)
    example = f"In config.yaml: sources: {{mic0: {{device: {quoted_device(devices[0].device)}}}}}"
    lasting = [f"{device.index} is also {', '.join(device.lasting)}" for device in devices if device.lasting]
    more = "\n" + "\n".join(lasting) if lasting else ""
    return f"{table}\n\n* is the default. An index may change at the next start; a name does not.\n{example}{more}"


def format_table(rows: Sequence[tuple[str, ...]]) -> str:
    """Format rows as lines with columns of equal width; a cell longer than `WIDEST_COLUMN` shifts only its own row."""
    widths = [max(len(cell) for cell in column if len(cell) <= WIDEST_COLUMN) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def devices_json(devices: Sequence[Device]) -> bytes:
    """Encode the devices as one line of JSON."""
    return msgspec.json.encode(list(devices))


def _query(sounddevice: ModuleType) -> list[Device]:
    host_apis = sounddevice.query_hostapis()
    defaults = [api["default_input_device"] for api in host_apis if api["default_input_device"] >= 0]
    return [
        Device(
            index=index,
            name=found["name"],
            host_api=host_apis[found["hostapi"]]["name"],
            channels=found["max_input_channels"],
            rate_hz=round(found["default_samplerate"]),
            default=defaults[:1] == [index],  # PortAudio prefers its first host API that has one
        )
        for index, found in enumerate(_query_each(sounddevice))
        if found["max_input_channels"] > 0
    ]


def _query_each(sounddevice: ModuleType) -> Iterator[dict[str, Any]]:
    """Query the devices one by one, since one name that is not UTF-8 fails the query of all."""
    for index in range(sounddevice._lib.Pa_GetDeviceCount()):
        try:
            yield sounddevice.query_devices(index)
        except UnicodeDecodeError as error:
            info = sounddevice._lib.Pa_GetDeviceInfo(index)
            yield {
                "name": bytes(error.object).decode(errors="replace"),
                "hostapi": info.hostApi,
                "max_input_channels": info.maxInputChannels,
                "default_samplerate": info.defaultSampleRate,
            }


def match_devices(devices: Sequence[Device], wanted: str | int) -> list[Device]:
    """Return the devices of the first rule that matches any."""
    if isinstance(wanted, int) or wanted.isdecimal():
        return [device for device in devices if device.index == int(wanted)]
    if wanted == "default":
        return [device for device in devices if device.default]
    exact = [device for device in devices if wanted in (device.name, f"{device.name}, {device.host_api}")]
    part = wanted.casefold()
    return exact or [device for device in devices if part in f"{device.name}, {device.host_api}".casefold()]


def quoted_device(name: str) -> str:
    """Quote a name for a shell and for YAML."""
    escaped = name.replace("\\", r"\\").replace('"', r"\"")
    return name if re.fullmatch(r"[\w.-]+", name) else f'"{escaped}"'
