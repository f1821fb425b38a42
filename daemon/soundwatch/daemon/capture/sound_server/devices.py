"""The sound server's sources, as `soundwatch devices` and `soundwatch doctor` list them.

Conventions: the default is the source that `pulse` records. Monitors, which record what this machine plays, are last.
Rule: the list is there within `REPLY_S`, or an error is; a thread that still waits for a server then is abandoned.
Does not: record a source (`capture/sound_server/source.py`).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from pathlib import Path
from typing import Final

from soundwatch.daemon.capture.portaudio.devices import Device, format_table, quoted_device
from soundwatch.daemon.capture.sound_server.address import ClientSettings, client_settings, show_address, usual_sockets
from soundwatch.daemon.capture.sound_server.connection import REPLY_S, RefusedError
from soundwatch.daemon.capture.sound_server.protocol import ServerError, ServerHangsError
from soundwatch.daemon.capture.sound_server.source import (
    ADVICE,
    DEFAULT,
    HANGS_ADVICE,
    PREFIX,
    SERVER_DEFAULT,
    connect_server,
    missing_source,
)
from soundwatch.daemon.core.errors import SourceError, StallError
from soundwatch.daemon.core.text.printable import printable

HOST_API: Final = "sound server"
MONITOR: Final = "monitor: what this machine plays"


def list_server_devices() -> tuple[Device, ...]:
    """List the sources of the sound server; none if no server is configured and none runs.

    Raises:
        StallError: The server does not answer in time.
        SourceError: The server denies access, or does not run, or its address is malformed.
    """
    settings = client_settings()
    if settings.addresses == usual_sockets() and not any(_may_be_there(Path(str(path))) for path in settings.addresses):
        return ()
    answer: Future[tuple[Device, ...]] = Future()

    def ask() -> None:
        try:
            answer.set_result(_ask(settings))
        except Exception as error:  # noqa: BLE001 -- raised again below, in the calling thread
            answer.set_exception(error)

    threading.Thread(target=ask, name="sound_server", daemon=True).start()
    try:
        return answer.result(REPLY_S)
    except TimeoutError as error:
        places = ", ".join(map(show_address, settings.addresses))
        raise StallError(f"The sound server does not answer within {REPLY_S:g} s ({places}). {HANGS_ADVICE}") from error
    except ServerHangsError as error:
        raise StallError(f"The sound server {error}. {HANGS_ADVICE}") from error
    except ServerError as error:
        raise SourceError(f"The sound server {error}. {ADVICE}") from error


def find_server_device(devices: Sequence[Device], device: str) -> Device:
    """Return the source that `pulse` or `pulse:NAME` means.

    Args:
        devices: All sources of the server.
        device: `pulse` or `pulse:NAME`.

    Raises:
        SourceError: The server has no such source. The message lists the sources.
    """
    for found in devices:
        if device == found.device or (device == DEFAULT and found.default):
            return found
    if not devices:
        raise SourceError(f"{device} was expected, and no sound server lists a source. {ADVICE}")
    wanted = device.removeprefix(PREFIX) if device != DEFAULT else client_settings().source
    raise missing_source(wanted, [found.device.removeprefix(PREFIX) for found in devices])


def server_choices() -> str:
    """Return lines with the sources of the server, or with the reason why it lists none, for the end of a message."""
    try:
        devices = list_server_devices()
    except SourceError as error:
        return f"\n{error}"
    lines = (f"\n  --device {quoted_device(device.device)}  {describe_server_device(device)}" for device in devices)
    return "\nThe sound server has these:" + "".join(lines) if devices else ""


def server_devices_text(devices: Sequence[Device]) -> str:
    """Format the sources of a server, at least one, as a table and a note."""
    rows = [("", "source of the sound server", "channels", "rate_hz", "description")] + [
        (
            "*" if device.default else "",
            printable(device.device),
            str(device.channels),
            str(device.rate_hz),
            describe_server_device(device),
        )
        for device in devices
    ]
    default = f", `--device {DEFAULT}` the one with *" if any(device.default for device in devices) else ""
    return f"{format_table(rows)}\n\n`soundwatch run --device {PREFIX}NAME` records a source{default}."


def describe_server_device(device: Device) -> str:
    """Return the name for people, with a mark for a monitor."""
    return printable(device.name) + (f" ({MONITOR})" if device.monitor else "")


def _may_be_there(path: Path) -> bool:
    """Return False if nothing is at a path; True also where this user may not look."""
    try:
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def _ask(settings: ClientSettings) -> tuple[Device, ...]:
    """Ask the server for its sources.

    Raises:
        ServerError: The server does not answer.
    """
    with contextlib.closing(connect_server(settings)) as server:
        sources = server.list_sources()
        try:
            default = server.watch(settings.source or SERVER_DEFAULT, fixed=False).name
        except RefusedError:  # no source, or no source of the name in PULSE_SOURCE
            default = None
    return tuple(
        Device(
            index=None,
            name=source.description or source.name,
            host_api=HOST_API,
            channels=len(source.positions),
            rate_hz=source.rate_hz,
            default=source.name == default,
            device=f"{PREFIX}{source.name}",
            monitor=source.monitor,
        )
        for source in sorted(sources, key=lambda source: source.monitor)
    )
