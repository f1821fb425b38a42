"""Names of microphones that last, beyond those that PortAudio has.

Conventions:
- `pulse:NAME` is the source of PulseAudio or PipeWire that `pactl list short sources` lists as NAME. It is reached by
  PortAudio's device `pulse`, which takes what the environment variable PULSE_SOURCE says when it is opened.
- `alsa:ID` is the sound card that /proc/asound/cards lists as [ID]; `usb:VENDOR:PRODUCT` or
  `usb:VENDOR:PRODUCT:SERIAL` the one with these USB numbers; `port:PORT` the one in this USB port, as in 1-1.4. Linux
  numbers cards anew at each start, these stay. PortAudio has the card's number in the device's name: "(hw:1,0)".
Source: tried with PulseAudio 16: when a source goes, the server moves its streams to the default source without a
word, and ALSA's plugin cannot forbid that. So the server's sources are watched: what is heard under a
microphone's name is that microphone or nothing.
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
        number: As it is counted today.
        names: Those that last.
    """

    number: int
    names: tuple[str, ...]


def resolve_device(device: str, root: Path = ROOT) -> str:
    """The name that PortAudio has for a device today; one of the sound server's is set for this process.

    Raises:
        SourceError: No card or source has this name, or several have. The message lists those to choose from.
    """
    if device.startswith(PULSE):
        os.environ["PULSE_SOURCE"] = name = device.removeprefix(PULSE)
        there_now = list_pulse_sources()
        if there_now and name not in there_now:
            listed = "\n".join(f"  {PULSE}{each}" for each in there_now)
            raise SourceError(f"The sound server has no source {name!r}. It has these:\n{listed}")
        return "pulse"
    if not device.startswith(CARDS):
        return device
    there = list_cards(root)
    found = [
        card for card in there if device in card.names or any(name.startswith(f"{device}:") for name in card.names)
    ]
    if len(found) == 1:
        return f"(hw:{found[0].number},"
    seen = f"{len(found)} sound cards are {device}" if found else f"No sound card is {device}"
    choices = "\n".join(f"  {' or '.join(card.names)}" for card in found or there) or "  (there is none)"
    raise SourceError(f"{seen}; exactly one was wanted. These are there:\n{choices}")


def stable_names(portaudio_name: str, there: Sequence[SoundCard]) -> tuple[str, ...]:
    """The names that last of a device that PortAudio has by this name."""
    place = _PLACE.search(portaudio_name)
    return next((card.names for card in there if place is not None and card.number == int(place[1])), ())


def list_cards(root: Path = ROOT) -> tuple[SoundCard, ...]:
    """The sound cards of this machine; none where the system does not tell."""
    folders = sorted((root / "sys/class/sound").glob("card[0-9]*"))
    return tuple(SoundCard(int(folder.name[4:]), _names(folder)) for folder in folders if folder.name[4:].isdecimal())


def _names(folder: Path) -> tuple[str, ...]:
    """Of the card whose folder in /sys/class/sound this is; /sys has a USB device's numbers in a folder above."""
    names = [f"alsa:{_read(folder / 'id')}"] if _read(folder / "id") else []
    above = (folder / "device").resolve()
    usb = next((each for each in (above, *above.parents) if (each / "idVendor").is_file()), None)
    if usb is not None:
        numbers = [_read(usb / file) for file in ("idVendor", "idProduct", "serial")]
        names += ["usb:" + ":".join(number for number in numbers if number), f"port:{usb.name}"]
    return tuple(names)


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def watch_source(device: str, gone: Callable[[], None]) -> None:
    """Call `gone` once the sound server has a device's source no more; returns when nothing can be learned any more.

    Does nothing for other devices, or where the program `pactl` is missing.
    """
    if not device.startswith(PULSE):
        return
    name = device.removeprefix(PULSE)
    with (
        contextlib.suppress(OSError),
        subprocess.Popen(["pactl", "subscribe"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as news,  # noqa: S607
    ):
        assert news.stdout is not None
        if name not in (list_pulse_sources() or [name]):
            gone()
        for line in news.stdout:
            if b"source #" in line and name not in (list_pulse_sources() or [name]):
                gone()


def list_pulse_sources() -> list[str]:
    """The sound server's sources; none where it does not say."""
    command = ["pactl", "list", "short", "sources"]
    try:
        said = subprocess.run(command, capture_output=True, text=True, timeout=SERVER_S, stdin=subprocess.DEVNULL)  # noqa: S603
    except (OSError, subprocess.TimeoutExpired):
        return []
    return [line.split("\t")[1] for line in said.stdout.splitlines() if line.count("\t") > 1]
