"""Stable names of microphones, beyond PortAudio's names.

Conventions:
- `pulse:NAME` is the source of PulseAudio or PipeWire that `pactl list short sources` lists as NAME. It is opened as
  PortAudio's device `pulse`, which reads the environment variable PULSE_SOURCE.
- `alsa:ID` is the sound card that /proc/asound/cards lists as [ID]; `usb:VENDOR:PRODUCT` or
  `usb:VENDOR:PRODUCT:SERIAL` the card with these USB numbers; `port:PORT` the card in this USB port, as in 1-1.4. Linux
  renumbers cards at each start, these names stay. PortAudio has the card's number in the device's name: "(hw:1,0)".
Source: tests with PulseAudio 16: when a source is removed, the server silently moves its streams to the default source,
and ALSA's plugin cannot forbid that. So the server's sources are watched, and a removed source ends the capture.
Does not: list or open devices (`devices.py`, `microphone.py`).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import SourceError

PULSE: Final = "pulse:"
SERVER_S: Final = 2.0
CARDS: Final = ("alsa:", "usb:", "port:")
ROOT: Final = Path("/")

_PLACE = re.compile(r"\(hw:(\d+),")


@dataclass(frozen=True, slots=True)
class SoundCard:
    """A sound card of Linux.

    Attributes:
        number: Current number.
        names: Stable names.
    """

    number: int
    names: tuple[str, ...]


def resolve_device(device: str, root: Path = ROOT) -> str:
    """Return PortAudio's current name of a device; select a source of the sound server for this process.

    Raises:
        SourceError: No card or source has this name, or several have. The message lists the choices.
    """
    if device.startswith(PULSE):
        os.environ["PULSE_SOURCE"] = name = device.removeprefix(PULSE)
        sources = list_pulse_sources()
        if sources and name not in sources:
            listed = "\n".join(f"  {PULSE}{source}" for source in sources)
            raise SourceError(f"The sound server has no source {name!r}. It has these:\n{listed}")
        return "pulse"
    if not device.startswith(CARDS):
        return device
    cards = list_cards(root)
    found = [
        card for card in cards if device in card.names or any(name.startswith(f"{device}:") for name in card.names)
    ]
    if len(found) == 1:
        return f"(hw:{found[0].number},"
    seen = f"{len(found)} sound cards are {device}" if found else f"No sound card is {device}"
    choices = "\n".join(f"  {' or '.join(card.names)}" for card in found or cards) or "  (there is none)"
    raise SourceError(f"{seen}; exactly one was expected. These are present:\n{choices}")


def stable_names(portaudio_name: str, cards: Sequence[SoundCard]) -> tuple[str, ...]:
    """Return the stable names of the card in PortAudio's name of a device."""
    place = _PLACE.search(portaudio_name)
    return next((card.names for card in cards if place is not None and card.number == int(place[1])), ())


def list_cards(root: Path = ROOT) -> tuple[SoundCard, ...]:
    """List the sound cards of this machine; none on systems other than Linux."""
    folders = sorted((root / "sys/class/sound").glob("card[0-9]*"))
    return tuple(SoundCard(int(folder.name[4:]), _names(folder)) for folder in folders if folder.name[4:].isdecimal())


def _names(folder: Path) -> tuple[str, ...]:
    """Read the stable names of a card from its folder in /sys/class/sound; USB numbers are in a parent folder."""
    names = [f"alsa:{_read(folder / 'id')}"] if _read(folder / "id") else []
    above = (folder / "device").resolve()
    usb = next((parent for parent in (above, *above.parents) if (parent / "idVendor").is_file()), None)
    if usb is not None:
        numbers = [_read(usb / file) for file in ("idVendor", "idProduct", "serial")]
        names += ["usb:" + ":".join(number for number in numbers if number), f"port:{usb.name}"]
    return tuple(names)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def watch_source(device: str, on_removed: Callable[[], None]) -> None:
    """Call `on_removed` when the sound server removes a device's source; return when the server ends.

    Does nothing for other devices, or where the program `pactl` is missing.
    """
    if not device.startswith(PULSE):
        return
    name = device.removeprefix(PULSE)
    with (
        contextlib.suppress(OSError),
        subprocess.Popen(["pactl", "subscribe"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as pactl,  # noqa: S607
    ):
        assert pactl.stdout is not None
        if name not in (list_pulse_sources() or [name]):
            on_removed()
        for line in pactl.stdout:
            if b"source #" in line and name not in (list_pulse_sources() or [name]):
                on_removed()


def list_pulse_sources() -> list[str]:
    """List the sound server's sources; none without a server. A name that is not UTF-8 gets replacement characters."""
    command = ["pactl", "list", "short", "sources"]
    try:
        listed = subprocess.run(command, capture_output=True, timeout=SERVER_S, stdin=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    lines = listed.stdout.decode(errors="replace").splitlines()
    return [line.split("\t")[1] for line in lines if line.count("\t") > 1]
