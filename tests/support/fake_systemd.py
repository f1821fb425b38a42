"""A service manager's side of systemd's notification protocol."""

from __future__ import annotations

import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0


class Manager:
    """Receiver of a program's notifications.

    Attributes:
        env: Variables to add to the program's environment.
        received: Notifications, with the monotonic time of each in seconds.
    """

    def __init__(self, path: Path, watchdog_s: float) -> None:
        self.received: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}

    def receive(self, seconds: float) -> bool:
        """Receive one datagram; return False if none arrives in time."""
        self._socket.settimeout(seconds)
        try:
            self.received.append((time.monotonic(), self._socket.recv(4096).decode()))
        except TimeoutError:
            return False
        return True

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Receive until a notification matches, and return it."""
        deadline_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline_s:
            if self.receive(deadline_s - time.monotonic()) and wanted(self.received[-1][1]):
                return self.received[-1][1]
        raise AssertionError(f"no such notification; received: {[text for _, text in self.received]}")

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


@contextmanager
def manager(watchdog_s: float = 10.0) -> Iterator[Manager]:
    """Provide a manager in a temporary folder; the path of a socket has to be short."""
    with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
        systemd = Manager(Path(folder) / "notify", watchdog_s)
        try:
            yield systemd
        finally:
            systemd.close()
