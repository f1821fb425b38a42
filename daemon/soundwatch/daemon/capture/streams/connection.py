"""An open connection that a source of raw samples reads.

Does not: open one (`connect.py`, `ffmpeg.py`, `wyoming_satellite.py`), or read it (`network.py`).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol


class Closing(Protocol):
    """Closes a connection."""

    def __call__(self, *, received: bool) -> str:
        """Close it, and return the reason for its end, or an empty text; `received` says if sound was received."""


@dataclass(frozen=True, slots=True)
class Connection:
    """An open connection.

    Attributes:
        fd: File descriptor to read from, in non-blocking mode or not.
        close: Closes the connection.
        datagrams: True if each read gives one datagram of whole frames; an empty one is not the end.
        gather_s: Time to wait before a read, so that sound arrives in fewer and longer blocks, unless the reader asks
            for another time (`NetworkSource.gather_until`); 0 to read all sound at once.
        longest_gather_s: Length of sound that may wait for a read.
        interrupt: Ends the wait; safe in a signal handler.
        first_s: Time limit for the first sound; None for the usual one.
        receive: Reads sound as `os.read` does, where the file descriptor gives more than sound; else None. Its
            arguments are the size at which to stop, and the size of the sound that should have arrived, in bytes.
        is_replaced: Returns True if nothing more can come, asked while nothing comes.
        refusal: Returns the reason why the connection must not be read now; None if it may be. It is asked before the
            first read, for some time: a reload opens a source before the former one of the same connection has ended.
        message_fd: File descriptor of messages that `receive` reads at once; None without messages.
    """

    fd: int
    close: Closing
    datagrams: bool = False
    gather_s: float = 0.0
    longest_gather_s: float = 0.0
    interrupt: Callable[[], object] = lambda: None
    first_s: float | None = None
    receive: Callable[[int, int], bytes] | None = None
    message_fd: int | None = None
    is_replaced: Callable[[], bool] = lambda: False
    refusal: Callable[[], str | None] = lambda: None
