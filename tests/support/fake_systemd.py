"""A service manager's end of systemd's notification protocol."""

from __future__ import annotations

import os
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PATIENCE_S = 60.0


class Manager:
    """Hears what a program tells its service manager.

    Attributes:
        env: What the program's environment must have besides the usual.
        heard: What it said, with the monotonic time of each.
    """

    def __init__(self, path: Path, watchdog_s: float) -> None:
        self.heard: list[tuple[float, str]] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self.env = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(round(watchdog_s * 1e6))}

    def listen(self, seconds: float) -> bool:
        """Hear one more datagram, if one comes in time."""
        self._socket.settimeout(seconds)
        try:
            self.heard.append((time.monotonic(), self._socket.recv(4096).decode()))
        except TimeoutError:
            return False
        return True

    def wait_for(self, wanted: Callable[[str], bool]) -> str:
        """Listen until something is said, and return it."""
        give_up = time.monotonic() + PATIENCE_S
        while time.monotonic() < give_up:
            if self.listen(give_up - time.monotonic()) and wanted(self.heard[-1][1]):
                return self.heard[-1][1]
        raise AssertionError(f"not heard; it said: {[text for _, text in self.heard]}")

    def close(self) -> None:
        """Stop listening."""
        self._socket.close()


@contextmanager
def manager(watchdog_s: float = 10.0) -> Iterator[Manager]:
    """A manager in a folder of its own, since a socket's path has to be short."""
    with tempfile.TemporaryDirectory(prefix="soundwatch-") as folder:
        listening = Manager(Path(folder) / "notify", watchdog_s)
        try:
            yield listening
        finally:
            listening.close()


def environment_of(pid: int) -> set[str]:
    """The names in a process's environment as it was started."""
    content = Path(f"/proc/{pid}/environ").read_bytes()
    return {os.fsdecode(each.partition(b"=")[0]) for each in content.split(b"\0") if each}
