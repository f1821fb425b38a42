"""Commands of people and of Home Assistant to a machine.

Conventions: a command is ON or OFF, or a number; anything else is ignored with a reason for the log. A retained command
is old and is ignored, so a broker's memory changes nothing at the next connection. Only topics that end in `/set` are
commands, and none is ever published by soundwatch.
Rule: what a locked schedule refuses is ignored with its reason.
Rule: commands for offsets and schedules are accepted with `commands=1` only; `ON` and `OFF` to a source always are.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Final

from soundwatch.daemon.core.errors import LockedError
from soundwatch.daemon.sinks.daemon_view import DaemonView
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.home_assistant import LARGEST_OFFSET
from soundwatch.daemon.sinks.mqtt.topics import Topics

SWITCHES: Final = {b"ON": True, b"OFF": False}


def carry_out_command(message: MqttMessage, topics: Topics, view: DaemonView, *, commands: bool) -> str | None:
    """Carry out a command.

    Args:
        message: Message of a topic that ends in `/set`.
        topics: Topics of the machine.
        view: View of the daemon.
        commands: Whether offsets and schedules may be changed.

    Returns:
        None, or the reason why the message is ignored.
    """
    if message.retained:
        return "it was retained"
    on = SWITCHES.get(message.payload, False)
    switches: dict[str, Callable[[], object]] = {
        topics.set(name): partial(view.set_listening, name, listen=on) for name in view.status.snapshot.sources
    }
    offsets: dict[str, str] = {}
    control = view.control if commands else None
    if control is not None:
        state = control.state()
        for name in state.schedules:
            switches[f"{topics.schedule(name)}/set"] = partial(control.set_schedule, name, on=on)
        offsets = {f"{topics.offset(source)}/set": source for source in state.offsets}
    if message.topic in offsets and control is not None:
        offset = _number(message.payload)
        if offset is None or not abs(offset) <= LARGEST_OFFSET:
            return f"a number from -{LARGEST_OFFSET:g} to {LARGEST_OFFSET:g} was expected"
        control.set_offset(offsets[message.topic], round(offset, 4))
        return None
    if message.topic not in switches or message.payload not in SWITCHES:
        return "ON or OFF to a source was expected"
    try:
        switches[message.topic]()
    except LockedError as error:
        return str(error)
    return None


def _number(payload: bytes) -> float | None:
    """Parse a payload as a finite number."""
    try:
        number = float(payload)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
