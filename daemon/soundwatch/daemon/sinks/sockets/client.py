"""Clients of a socket sink, each at its own place in the journal.

Conventions: a client gets the lines from now on; after a first line `{"since": SEQ}` it gets all lines after that
number that the journal has. The journal is the queue, so a slow client costs no memory. A client that closes its
sending side gets the remaining lines and then the end.
Rule: a client that takes nothing for `STALL_S` while lines are pending is disconnected with a `bye` line. So are a
client above `MAX_CLIENTS` and a client that sends anything else.
Does not: open sockets (`sinks/sockets/server.py`).
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from soundwatch.daemon.core.text.foreign_json import JSON_ERRORS
from soundwatch.daemon.core.time.clock import format_utc
from soundwatch.daemon.events.schema import ByeLine
from soundwatch.daemon.journal.entry import JournalEntry

MAX_CLIENTS: Final = 64
STALL_S: Final = 20.0
BYE_LIMIT_S: Final = 5.0
REQUEST_BYTES: Final = 1000
FILL_LINES: Final = 50
PENDING_SCORES: Final = 100

Reason = Literal["slow", "too_many_clients", "malformed", "stopped"]
_DETAILS: Final = {
    "slow": f"nothing was taken for {STALL_S:.0f} s",
    "too_many_clients": f"{MAX_CLIENTS} clients are connected already",
    "malformed": 'only a first line like {"since": 123} is understood',
    "stopped": "soundwatch was stopped",
}


class _Request(msgspec.Struct, forbid_unknown_fields=True):
    since: Annotated[int, msgspec.Meta(ge=0)]


class SocketClient:
    """State of one client; the server advances it.

    Args:
        connection: Connection to the client; it does not block.
        read_after: Returns the journal's lines after a number, up to a count.
        node: Name of this machine.
        now_s: Current time of a monotonic clock, as everywhere here.
    """

    def __init__(
        self, connection: socket.socket, read_after: Callable[[int, int], list[JournalEntry]], node: str, now_s: float
    ) -> None:
        self.connection = connection
        self.readable = True  # until the client closes its sending side
        self.scores = deque[bytes](maxlen=PENDING_SCORES)
        self._read_after = read_after
        self._node = node
        self._queued_seq: int | None = None  # of the last line that was queued; None until there is a first one
        self._end_seq: int | None = None  # of the last line for this client
        self._lines = deque[tuple[int | None, bytes]]()  # queued lines with their numbers
        self._torn = False  # whether a part of the first line has been sent
        self._sent_seq: int | None = None
        self._input = bytearray()
        self._has_request = False
        self._progress_s = now_s
        self._bye_until_s: float | None = None
        self._lingers = False  # until the client closes too: a close with unread input would discard our last line

    def notify(self, first_seq: int) -> None:
        """Take note of new lines, `first_seq` the first of them."""
        if self._queued_seq is None:
            self._queued_seq = first_seq - 1

    def wants_to_write(self, last_seq: int) -> bool:
        """Return True if data waits to be sent."""
        return bool(self._lines or self.scores) or (self._bye_until_s is None and self._is_behind(last_seq))

    def is_finished(self, last_seq: int, now_s: float) -> bool:
        """Return whether the client has had all its lines, or its time is over."""
        if self._bye_until_s is not None:
            return (not self._lines and not (self._lingers and self.readable)) or now_s > self._bye_until_s
        return self._end_seq is not None and not self.wants_to_write(last_seq)

    def receive(self, last_seq: int) -> None:
        """Read input.

        Raises:
            OSError: The client has gone.
        """
        received = self.connection.recv(4096)
        if not received:
            self.readable = False
            self._end_seq = last_seq
        if self._has_request or self._bye_until_s is not None:
            return
        self._input += received
        line, ended, _ = bytes(self._input).partition(b"\n")
        if ended or (not received and line.strip()):
            self._has_request = True
            try:
                self._queued_seq = msgspec.json.decode(line, type=_Request).since
            except JSON_ERRORS:
                self.disconnect("malformed")
        elif len(line) > REQUEST_BYTES:
            self.disconnect("malformed")

    def send_pending(self, last_seq: int, now_s: float) -> None:
        """Send as much as the client takes.

        Raises:
            OSError: The client has gone.
        """
        if not self._lines and self._bye_until_s is None:
            self._fill(last_seq)
        while self._lines:
            seq, line = self._lines[0]
            try:
                sent_bytes = self.connection.send(line)
            except BlockingIOError:
                return
            self._progress_s = now_s
            self._sent_seq = seq or self._sent_seq
            self._torn = sent_bytes < len(line)
            if self._torn:
                self._lines[0] = (seq, line[sent_bytes:])
                return
            self._lines.popleft()
        if self._lingers:
            self.connection.shutdown(socket.SHUT_WR)

    def disconnect_if_slow(self, last_seq: int, now_s: float) -> bool:
        """Disconnect a client that takes nothing; return whether it did."""
        if self._bye_until_s is not None:
            return False
        if not self.wants_to_write(last_seq):
            self._progress_s = now_s
        if now_s <= self._progress_s + STALL_S:
            return False
        self.disconnect("slow")
        return True

    def disconnect(self, reason: Reason) -> None:
        """Queue a last line, after the line that is partly sent."""
        while reason != "stopped" and len(self._lines) > self._torn:
            self._lines.pop()
        self.scores.clear()
        last_seq = max((seq for seq, _ in self._lines if seq), default=self._sent_seq)
        detail, now_text = _DETAILS[reason], format_utc(time.time_ns())
        bye = ByeLine(time=now_text, node=self._node, reason=reason, detail=detail, last_seq=last_seq)
        self._lines.append((None, msgspec.json.encode(bye) + b"\n"))
        self._bye_until_s = time.monotonic() + BYE_LIMIT_S
        self._lingers = reason == "malformed"

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(OSError):
            self.connection.close()

    def _is_behind(self, last_seq: int) -> bool:
        return self._queued_seq is not None and self._queued_seq < min(last_seq, self._end_seq or last_seq)

    def _fill(self, last_seq: int) -> None:
        """Queue the next lines of the journal."""
        while self.scores:
            self._lines.append((None, self.scores.popleft()))
        if self._queued_seq is None or not self._is_behind(last_seq):
            return
        entries = [entry for entry in self._read_after(self._queued_seq, FILL_LINES) if entry.seq <= last_seq]
        self._lines += [(entry.seq, entry.line) for entry in entries]
        self._queued_seq = entries[-1].seq if entries else last_seq
