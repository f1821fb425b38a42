"""Notifications to the service manager, by systemd's datagram protocol (NOTIFY_SOCKET).

Conventions: no call waits or raises; a datagram that the manager does not accept at once is dropped. systemd accepts
only the main process (`NotifyAccess=main`), so the address is removed from the environment that children inherit.
Source: sd_notify(3), sd_watchdog_enabled(3). docs/decisions/0040 gives the reasons against a library.
Does not: decide when to notify (`app/watchdog.py`).
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import MutableMapping
from typing import Final

_VARIABLES: Final = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")


class SystemdNotifier:
    """Client of a service manager's notification socket.

    Args:
        address: Address of the socket: a path, or @ and an abstract name; "" without a service manager.
        watchdog_ns: Interval within which the manager expects a watchdog ping; 0 if it expects none.

    Attributes:
        connected: True if there is a service manager.
        watchdog_ns: As given; 0 without a service manager.
    """

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.connected = address[:1] in ("/", "@")
        self.watchdog_ns = watchdog_ns if self.connected else 0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> SystemdNotifier:
        """Return the notifier for this process's service manager; remove its variables from the environment."""
        address, watchdog_us, pid = (environment.pop(name, "") for name in _VARIABLES)
        watched = watchdog_us.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address, int(watchdog_us) * 1000 if watched else 0)

    def ready(self) -> None:
        """Report that the program has started, or that a reload has ended."""
        self._send("READY=1")

    def reloading(self) -> None:
        """Report that the configuration is being reloaded; a call of `ready` has to follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """Report that the program is stopping. Safe in a signal handler: it takes no lock."""
        self._send("STOPPING=1")

    def ping_watchdog(self) -> None:
        """Reset the manager's watchdog timer."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """Report the program's status, as one line of text."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, state: str) -> None:
        if self.connected:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
                client.setblocking(False)
                client.sendto(state.encode(), self._address)
