"""Stable names of microphones, beyond PortAudio's names.

Conventions:
- `alsa:ID` is the sound card that /proc/asound/cards lists as [ID]; `usb:VENDOR:PRODUCT` or
  `usb:VENDOR:PRODUCT:SERIAL` the card with these USB numbers; `port:PORT` the card in this USB port, as in 1-1.4. Linux
  renumbers cards at each start, these names stay. PortAudio has the card's number in the device's name: "(hw:1,0)".
Does not: list or open devices (`devices.py`, `microphone.py`), or know the names of
the sound server (`capture/sound_server/`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import SourceError

CARDS: Final = ("alsa:", "usb:", "port:")
ROOT: Final = Path("/")

_PLACE: Final = re.compile(r"\(hw:(\d+),")


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
    """Return PortAudio's current name of a device; a name without a prefix stays.

    Raises:
        SourceError: No card has this name, or several have. The message lists the choices.
    """
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
