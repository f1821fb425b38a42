"""Names of microphones that last, beyond those that PortAudio has.

Conventions: `pulse:NAME` is the source of PulseAudio or PipeWire that `pactl list short sources` lists as NAME. It is
reached by PortAudio's device `pulse`, which takes what the environment variable PULSE_SOURCE says when it is opened.
Source: tried with PulseAudio 16: when a source goes, the server moves its streams to the default source without a
word, and ALSA's plugin cannot forbid that. So the server's sources are watched: what is heard under a
microphone's name is that microphone or nothing.
Does not: list or open devices (`devices.py`, `microphone.py`).
"""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import Callable
from typing import Final

PULSE: Final = "pulse:"


def named(device: str) -> str:
    """The name that PortAudio has for a device; one of the sound server's is set for this process."""
    if not device.startswith(PULSE):
        return device
    os.environ["PULSE_SOURCE"] = device.removeprefix(PULSE)
    return "pulse"


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
        if name not in (sources() or [name]):
            gone()
        for line in news.stdout:
            if b"source #" in line and name not in (sources() or [name]):
                gone()


def sources() -> list[str]:
    """The sound server's sources; none where it does not say."""
    command = ["pactl", "list", "short", "sources"]
    said = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)  # noqa: S603
    return [line.split("\t")[1] for line in said.stdout.splitlines() if line.count("\t") > 1]
