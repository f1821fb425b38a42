"""What a service manager is told: systemd's protocol of datagrams, whose address is in NOTIFY_SOCKET.

Conventions: nothing waits and nothing raises; a manager that takes no datagram just now misses one. What is told by
whom is checked by systemd (`NotifyAccess=main`), so the address is taken out of the environment: no child inherits it.
Source: sd_notify(3), sd_watchdog_enabled(3). docs/decisions/0040 says why this is no library.
Does not: know when there is what to tell (`app/watchdog.py`).
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
    """Tells a service manager, or nobody where there is none.

    Args:
        address: Of its socket: a path, or @ and an abstract name; "" for nobody.
        watchdog_ns: Within which time it has to hear from us; 0 where it does not ask for that.

    Attributes:
        heard: Whether there is anybody to tell.
        watchdog_ns: As given; 0 where there is nobody.
    """

    def __init__(self, address: str = "", watchdog_ns: int = 0) -> None:
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self.heard = address[:1] in ("/", "@")
        self.watchdog_ns = watchdog_ns if self.heard else 0

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> SystemdNotifier:
        """The one that this process was started with; its variables are taken out of the environment."""
        address, watchdog_us, pid = (environment.pop(name, "") for name in _VARIABLES)
        asked = watchdog_us.isdecimal() and pid in ("", str(os.getpid()))
        return cls(address, int(watchdog_us) * 1000 if asked else 0)

    def ready(self) -> None:
        """The program does its work; also once a reload is over."""
        self._send("READY=1")

    def reloading(self) -> None:
        """The configuration is being read again; `ready` has to follow."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self) -> None:
        """The program is about to end. Safe in a signal handler: it takes no lock."""
        self._send("STOPPING=1")

    def alive(self) -> None:
        """Every stage goes on."""
        self._send("WATCHDOG=1")

    def status(self, text: str) -> None:
        """What the program does just now, for people, on one line."""
        self._send("STATUS=" + " ".join(text.split()))

    def _send(self, state: str) -> None:
        if self.heard:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as mouth:
                mouth.setblocking(False)
                mouth.sendto(state.encode(), self._address)
