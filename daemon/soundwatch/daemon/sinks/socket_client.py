"""Those who read lines from a socket, each at its own pace from its own place in the journal.

Conventions: a reader gets what comes from now on, or, if its first line is `{"since": SEQ}`, all after that number
that the journal has. The journal is the queue, so a reader that is behind costs no memory. One that closes its side
gets what there is and then the end.
Rule: who takes nothing for `STALL_S` though there is something is told so with a `bye` line and dropped; so is who
comes as the `MOST_READERS`-and-first, or says something else.
Does not: open sockets (`sinks/socket_server.py`).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.events.schema import ByeLine
from soundwatch.daemon.journal.entry import JournalEntry

MOST_READERS: Final = 64
STALL_S: Final = 20.0
PARTING_S: Final = 5.0
ASKED_BYTES: Final = 1000
FILL_LINES: Final = 50
WAITING_SCORES: Final = 100

Reason = Literal["slow", "crowded", "malformed", "stopped"]
_DETAILS: Final = {
    "slow": f"nothing was taken for {STALL_S:.0f} s",
    "crowded": f"there are {MOST_READERS} readers already",
    "malformed": 'only a first line like {"since": 123} is understood',
    "stopped": "soundwatch was stopped",
}


class _Asked(msgspec.Struct, forbid_unknown_fields=True):
    since: Annotated[int, msgspec.Meta(ge=0)]


class SocketClient:
    """One reader, as a state that its server moves on.

    Args:
        connection: To it, which does not block.
        after: The journal's lines after a number.
        node: Name of this machine.
        now_s: Of a monotonic clock, as everywhere here.
    """

    def __init__(
        self, connection: socket.socket, after: Callable[[int, int], list[JournalEntry]], node: str, now_s: float
    ) -> None:
        self.connection = connection
        self.listens = True  # whether it may still say something
        self.scores = deque[bytes](maxlen=WAITING_SCORES)
        self._after = after
        self._node = node
        self._seq: int | None = None  # the last that was put into `_lines`; None until there is a first to come
        self._end_seq: int | None = None  # after which it ends
        self._lines = deque[tuple[int | None, bytes]]()  # on their way, with their numbers
        self._torn = False  # whether a part of the first has been taken
        self._given_seq: int | None = None
        self._said = bytearray()
        self._asked = False
        self._moved_s = now_s
        self._parting_s: float | None = None
        self._lingers = False  # until it has closed too: a close with words unread would take our last line with it

    def come(self, first_seq: int) -> None:
        """There are new lines, `first_seq` the first of them."""
        if self._seq is None:
            self._seq = first_seq - 1

    def wants_to_write(self, last_seq: int) -> bool:
        """Whether it is to be given something."""
        return bool(self._lines or self.scores) or (self._parting_s is None and self._behind(last_seq))

    def is_over(self, last_seq: int, now_s: float) -> bool:
        """Whether it has had all that it will get, or its time."""
        if self._parting_s is not None:
            return (not self._lines and not (self._lingers and self.listens)) or now_s > self._parting_s
        return self._end_seq is not None and not self.wants_to_write(last_seq)

    def hear(self, last_seq: int) -> None:
        """Read what it says.

        Raises:
            OSError: It has gone.
        """
        said = self.connection.recv(4096)
        if not said:
            self.listens = False
            self._end_seq = last_seq
        if self._asked or self._parting_s is not None:
            return
        self._said += said
        line, ended, _ = bytes(self._said).partition(b"\n")
        if ended or (not said and line.strip()):
            self._asked = True
            try:
                self._seq = msgspec.json.decode(line, type=_Asked).since
            except (msgspec.DecodeError, UnicodeDecodeError):
                self.part("malformed")
        elif len(line) > ASKED_BYTES:
            self.part("malformed")

    def give(self, last_seq: int, now_s: float) -> None:
        """Write as much as it takes.

        Raises:
            OSError: It has gone.
        """
        if not self._lines and self._parting_s is None:
            self._fill(last_seq)
        while self._lines:
            seq, line = self._lines[0]
            try:
                taken = self.connection.send(line)
            except BlockingIOError:
                return
            self._moved_s = now_s
            self._given_seq = seq or self._given_seq
            self._torn = taken < len(line)
            if self._torn:
                self._lines[0] = (seq, line[taken:])
                return
            self._lines.popleft()
        if self._lingers:
            self.connection.shutdown(socket.SHUT_WR)

    def drop_if_slow(self, last_seq: int, now_s: float) -> bool:
        """Part from it where it takes nothing."""
        if self._parting_s is not None:
            return False
        if not self.wants_to_write(last_seq):
            self._moved_s = now_s
        if now_s <= self._moved_s + STALL_S:
            return False
        self.part("slow")
        return True

    def part(self, reason: Reason) -> None:
        """Say a last line, after the one that is on its way."""
        while reason != "stopped" and len(self._lines) > self._torn:
            self._lines.pop()
        self.scores.clear()
        last_seq = max((seq for seq, _ in self._lines if seq), default=self._given_seq)
        detail, now_text = _DETAILS[reason], format_utc(time.time_ns())
        bye = ByeLine(time=now_text, node=self._node, reason=reason, detail=detail, last_seq=last_seq)
        self._lines.append((None, msgspec.json.encode(bye) + b"\n"))
        self._parting_s = time.monotonic() + PARTING_S
        self._lingers = reason == "malformed"

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.connection.close()

    def _behind(self, last_seq: int) -> bool:
        return self._seq is not None and self._seq < min(last_seq, self._end_seq or last_seq)

    def _fill(self, last_seq: int) -> None:
        """Take the next lines from the journal."""
        while self.scores:
            self._lines.append((None, self.scores.popleft()))
        if self._seq is None or not self._behind(last_seq):
            return
        entries = [entry for entry in self._after(self._seq, FILL_LINES) if entry.seq <= last_seq]
        self._lines += [(entry.seq, entry.line) for entry in entries]
        self._seq = entries[-1].seq if entries else last_seq
