"""Delivery of lines to one sink: from the journal, in its own thread, or in a replay at once.

Conventions: a line counts as delivered when `deliver` returns. Lines that were given to a sink and may not have
arrived, because the sink failed or this program was killed, are delivered again, marked as repeated. A change of state
is logged once: `sink_failed` and `sink_closed` as warnings, `sink_recovered` as info.
Rule for a sink that fails or cannot be opened: detection continues, and the sink is tried again after `FIRST_PAUSE_S`,
then after twice as long each time, up to `LONGEST_PAUSE_S`. A replay counts the line as lost and continues.
Rule for places: a durable sink continues at its place after a restart; any other sink starts with the next line.
Rule for closing: no step waits longer than its limit, even if a file system or a resolver hangs.
Does not: know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import msgspec

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.errors import ReaderClosedError, SinkError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.core.text import failure_text
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.journal.entry import Cursor, JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import LineWriter, Sink, SinkState, SinkStatus
from soundwatch.daemon.sinks.spec import PreparedSink

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
CLOSING_S: Final = 5.0


class SinkHealth:
    """Calls of one sink, and the status that follows from them.

    Args:
        name: Name of the sink.
        log: Log of the program.
        delivered_seq: Number of the last line that the sink has taken.

    Attributes:
        status: The status; a frozen record, so any thread may read it.
    """

    def __init__(self, name: str, log: Logger, delivered_seq: int = 0) -> None:
        self._log = log
        self.status = SinkStatus(name, since_unix_ns=time.time_ns(), delivered_seq=delivered_seq)

    def attempt(self, call: Callable[[], bool]) -> bool | None:
        """Call the sink; return the result, or None after a failure, which only changes the status."""
        try:
            result = call()
        except ReaderClosedError as error:
            self._set_state("gone", str(error))
        except Exception as error:  # noqa: BLE001  # a sink may fail in any way; the daemon may not
            self._set_state("failing", failure_text(error))
        else:
            self._set_state("working", None)
            return result
        return None

    def delivered(self, seq: int) -> None:
        """Note the number of the last line that the sink has taken."""
        self.status = replace(self.status, delivered_seq=seq)

    def lost(self, lines: int) -> None:
        """Count lines that the sink will not get."""
        self.status = replace(self.status, lost_lines=self.status.lost_lines + lines)

    def _set_state(self, state: SinkState, reason: str | None) -> None:
        """Set the state, and log its change."""
        before = self.status
        if (before.state, before.reason) == (state, reason):
            return
        self.status = replace(before, state=state, reason=reason)
        if before.state == state:
            return
        self.status = replace(self.status, since_unix_ns=time.time_ns())
        if state == "working":
            self._log.info("sink_recovered", sink=before.name, lost_lines=before.lost_lines)
        else:
            event = "sink_failed" if state == "failing" else "sink_closed"
            self._log.warning(event, sink=before.name, reason=reason)


class SinkWorker:
    """One sink of a running daemon: its thread and its place in the journal.

    Args:
        prepared: The sink, not open yet.
        journal: Source of the lines.
        log: Log of the daemon.
        on_gone: Called when the reader has left for good.
    """

    def __init__(
        self, prepared: PreparedSink, journal: Journal, log: Logger, on_gone: Callable[[], object] = lambda: None
    ) -> None:
        self._prepared = prepared
        self._sink: Sink | None = None
        self._journal = journal
        self._log = log
        self._on_gone = on_gone
        next_line = Cursor(journal.last_seq, journal.last_seq)
        self._cursor = journal.cursor(prepared.name) if prepared.durable else next_line
        self._health = SinkHealth(prepared.name, log, self._cursor.delivered)
        self._wake = threading.Event()
        self._tried = threading.Event()
        self._last_seq: int | None = None  # of the last line to deliver, once the daemon stops
        self._stopped = threading.Event()
        self._unsubscribe = journal.subscribe(self._wake.set)
        self._thread = threading.Thread(target=self._run, name=f"sink {prepared.name}", daemon=True)
        self._thread.start()

    @property
    def status(self) -> SinkStatus:
        """Status of the sink."""
        return self._health.status

    @property
    def backlog_lines(self) -> int:
        """Number of lines that the sink has yet to take."""
        return self._journal.last_seq - self._cursor.delivered

    def wait_tried(self, timeout_s: float) -> bool:
        """Wait until the sink was opened or has failed to open once; return whether it was within the time."""
        return self._tried.wait(timeout_s)

    def finish(self) -> None:
        """Deliver the remaining lines, and end."""
        self._last_seq = self._journal.last_seq
        self._wake.set()

    def close(self, patience_s: float) -> int:
        """End the sink.

        Args:
            patience_s: Time for the remaining lines.

        Returns:
            Number of lines that were not delivered.
        """
        self._thread.join(patience_s)
        self._stopped.set()
        self._wake.set()
        self._unsubscribe()
        limit_s = CLOSING_S if patience_s else 0.0
        closing = threading.Thread(target=self._close_sink, name=f"closing {self.status.name}", daemon=True)
        closing.start()
        closing.join(CLOSING_S)
        self._thread.join(limit_s)
        return 0 if self.status.state == "gone" else self.backlog_lines

    def _close_sink(self) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001  # a sink may fail in any way, also at its end
            self._log.warning("sink_close_failed", sink=self.status.name, error=failure_text(error))

    def _run(self) -> None:
        """Open the sink and deliver lines, until the end."""
        backoff: Backoff | None = None
        while not self._stopped.is_set():
            self._wake.clear()
            found = self._health.attempt(self._open if self._sink is None else self._deliver_next)
            self._tried.set()
            if found is None and self.status.state == "gone":
                self._on_gone()
                return
            if found is None:
                if backoff is None or self._last_seq is not None:  # the first failure, or the daemon ends
                    backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
                self._stopped.wait(backoff.next_s())
            elif found:
                backoff = None
            elif self._last_seq is not None and self._cursor.delivered >= self._last_seq:
                return
            elif not self._stopped.is_set():  # `close` may have come before `clear`
                self._wake.wait()

    def _open(self) -> bool:
        """Open the sink; return True, since lines may wait for it."""
        self._sink = sink = self._prepared.open()
        if self._stopped.is_set():  # `close` may not have known of it
            sink.close()
        return True

    def _deliver_next(self) -> bool:
        """Deliver the next lines; return whether there were any."""
        entries = self._next()
        if not entries or self._sink is None:
            return False
        last_seq = entries[-1].seq
        self._move(Cursor(max(self._cursor.attempted, last_seq), self._cursor.delivered), wait=True)
        self._sink.deliver(entries)
        self._move(Cursor(self._cursor.attempted, last_seq), wait=False)
        self._health.delivered(last_seq)
        return True

    def _next(self) -> Sequence[JournalEntry]:
        """Return the next lines, marked where they may have been delivered before."""
        entries = self._journal.read_after(self._cursor.delivered, self._prepared.batch_lines)
        if entries and entries[0].seq > self._cursor.delivered + 1:
            lost_lines = entries[0].seq - self._cursor.delivered - 1
            self._health.lost(lost_lines)
            self._log.warning("sink_lines_dropped", sink=self.status.name, lines=lost_lines)
            self._cursor = replace(self._cursor, delivered=entries[0].seq - 1)
        attempted = self._cursor.attempted
        return [replace(entry, repeated=True) if entry.seq <= attempted else entry for entry in entries]

    def _move(self, cursor: Cursor, *, wait: bool) -> None:
        self._cursor = cursor
        if self._prepared.durable:
            self._journal.set_cursor(self.status.name, cursor, wait=wait)


class DirectWriter:
    """The journal's stand-in for a replay: lines in, numbered lines out to every sink in the calling thread.

    `seq` counts from 1 without holes, over all sources. A line is written whole or counted as lost. Safe to call from
    several threads.

    Args:
        sinks: Destinations of the lines.
        log: Log of the program.
    """

    def __init__(self, sinks: Sequence[LineWriter], log: Logger) -> None:
        self._sinks = [(sink, SinkHealth(sink.name, log)) for sink in sinks]
        self._seq = 0
        self._lock = threading.Lock()

    def append(self, line: Line) -> None:
        """Number a line and write it to every destination.

        Raises:
            SinkError: The readers of all destinations have gone.
        """
        with self._lock:
            self._seq += 1
            encoded = msgspec.json.encode(with_seq(line, self._seq)) + b"\n"
            for sink, health in self._sinks:
                self._write(sink, health, encoded)
            if all(health.status.state == "gone" for _, health in self._sinks):
                names = ", ".join(sink.name for sink, _ in self._sinks)
                raise SinkError(
                    f"The reader of {names} has gone after {self._seq - 1} lines and nothing else is written to; "
                    "stopping. Give a file with -F json:PATH to keep events when a reader goes."
                )

    def write_unnumbered(self, line: msgspec.Struct, wanted: Sequence[bool]) -> None:
        """Write a line that has no number, such as `scores`, to the destinations that want it."""
        encoded = msgspec.json.encode(line) + b"\n"
        with self._lock:
            for (sink, health), wants in zip(self._sinks, wanted, strict=True):
                if wants:
                    self._write(sink, health, encoded)

    def report_losses(self) -> None:
        """Raise an error if lines could not be written.

        Raises:
            SinkError: Lines were lost.
        """
        for lost_lines, name in ((health.status.lost_lines, sink.name) for sink, health in self._sinks):
            if lost_lines:
                raise SinkError(
                    f"{lost_lines} lines could not be written to {name}. Make room there, or give another file with "
                    "-F json:PATH."
                )

    def close(self) -> None:
        """Close every destination."""
        for sink, _ in self._sinks:
            sink.close()

    def _write(self, sink: LineWriter, health: SinkHealth, line: bytes) -> None:
        if health.status.state == "gone":
            return
        if health.attempt(partial(_write_line, sink, line)) is None and health.status.state == "failing":
            health.lost(1)


def _write_line(sink: LineWriter, line: bytes) -> bool:
    """Write a line and return True; a pipe without a reader is a reader that has gone."""
    try:
        sink.write(line)
    except BrokenPipeError as error:
        raise ReaderClosedError(failure_text(error)) from error
    return True
