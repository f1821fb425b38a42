"""Runs the sinks: each has a thread that opens the sink, reads the journal from the sink's place and delivers lines.

Conventions: a line counts as delivered when `deliver` returns. Lines that were given to a sink and may not have
arrived, because the sink failed or this program was killed, are delivered again, marked as repeated.
Rule for a sink that fails or cannot be opened: detection continues, `sink_failed` is logged once, and the sink is
tried again after `FIRST_PAUSE_S`, then after twice as long each time, up to `LONGEST_PAUSE_S`.
Rule for places: a durable sink continues at its place after a restart; any other sink starts with the next line.
Rule for closing: no step waits longer than its limit, even if a file system or a resolver hangs.
Does not: know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.errors import ReaderClosedError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.journal.entry import Cursor, JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.context import PreparedSink
from soundwatch.daemon.sinks.protocols import Sink
from soundwatch.daemon.sinks.status import SinkState, SinkStatus, failure_text, with_state

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
CLOSING_S: Final = 5.0


class SinkWorker:
    """One sink and its place in the journal.

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
        self.status = SinkStatus(prepared.name, since_unix_ns=time.time_ns(), delivered_seq=self._cursor.delivered)
        self._wake = threading.Event()
        self._tried = threading.Event()
        self._last_seq: int | None = None  # of the last line to deliver, once the daemon stops
        self._stopped = threading.Event()
        self._unsubscribe = journal.subscribe(self._wake.set)
        self._thread = threading.Thread(target=self._run, name=f"sink {prepared.name}", daemon=True)
        self._thread.start()

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
        if sink is not None:
            sink.close()

    def _run(self) -> None:
        """Open the sink and deliver lines, until the end."""
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._stopped.is_set() and self.status.state != "gone":
            self._wake.clear()
            try:
                if self._sink is None:
                    self._open()
                if self._step():
                    backoff.reset()
                elif self._last_seq is not None and self._cursor.delivered >= self._last_seq:
                    return
                elif not self._stopped.is_set():
                    self._wake.wait()
            except ReaderClosedError as error:
                self._set_state("gone", str(error))
                self._on_gone()
            except Exception as error:  # noqa: BLE001  # a sink may fail in any way; the daemon may not
                self._set_state("failing", failure_text(error))
                self._tried.set()
                if self._last_seq is not None:  # the daemon ends
                    backoff.reset()
                self._stopped.wait(backoff.next_s())

    def _open(self) -> None:
        sink = self._prepared.open()
        if self._stopped.is_set():  # `close` did not know of it
            sink.close()
            return
        self._sink = sink
        self._set_state("working", None)
        self._tried.set()

    def _step(self) -> bool:
        """Deliver the next lines; return whether there were any."""
        entries = self._next()
        if not entries or self._sink is None:
            return False
        last_seq = entries[-1].seq
        self._move(Cursor(max(self._cursor.attempted, last_seq), self._cursor.delivered), wait=True)
        self._sink.deliver(entries)
        self._move(Cursor(self._cursor.attempted, last_seq), wait=False)
        self.status = replace(self.status, delivered_seq=last_seq)
        self._set_state("working", None)
        return True

    def _next(self) -> Sequence[JournalEntry]:
        """Return the next lines, marked where they may have been delivered before."""
        entries = self._journal.read_after(self._cursor.delivered, self._prepared.batch_lines)
        if entries and entries[0].seq > self._cursor.delivered + 1:
            lost_lines = entries[0].seq - self._cursor.delivered - 1
            self.status = replace(self.status, lost_lines=self.status.lost_lines + lost_lines)
            self._log.warning("sink_lines_dropped", sink=self.status.name, lines=lost_lines)
            self._cursor = replace(self._cursor, delivered=entries[0].seq - 1)
        attempted = self._cursor.attempted
        return [replace(entry, repeated=True) if entry.seq <= attempted else entry for entry in entries]

    def _move(self, cursor: Cursor, *, wait: bool) -> None:
        self._cursor = cursor
        if self._prepared.durable:
            self._journal.set_cursor(self.status.name, cursor, wait=wait)

    def _set_state(self, state: SinkState, reason: str | None) -> None:
        self.status = with_state(self.status, state, reason, self._log)


class SinkDispatcher:
    """All sinks of a running daemon.

    Args:
        log: Log of the daemon.
        on_all_gone: Called with the names of the sinks when the readers of all of them have left for good.
    """

    def __init__(self, log: Logger, on_all_gone: Callable[[str], object]) -> None:
        self._log = log
        self._on_all_gone = on_all_gone
        self._workers: list[SinkWorker] = []

    def add(self, prepared: PreparedSink, journal: Journal) -> SinkWorker:
        """Start a sink."""
        worker = SinkWorker(prepared, journal, self._log, self._check_all_gone)
        self._workers = [*self._workers, worker]
        return worker

    def remove(self, worker: SinkWorker) -> None:
        """Deliver a sink's remaining lines, and end the sink."""
        self._workers = [other for other in self._workers if other is not worker]
        worker.finish()
        worker.close(CLOSING_S)

    def statuses(self) -> list[tuple[SinkStatus, int]]:
        """Return each sink's status and the number of lines that it has yet to take."""
        return [(worker.status, worker.backlog_lines) for worker in self._workers]

    def close(self, patience_s: float = CLOSING_S) -> dict[str, int]:
        """Deliver the remaining lines, and end all sinks.

        Returns:
            Number of lines that were not delivered, for each sink that has some, by name.
        """
        for worker in self._workers:
            worker.finish()
        until_s = time.monotonic() + patience_s
        left = {worker.status.name: worker.close(max(0.0, until_s - time.monotonic())) for worker in self._workers}
        return {name: lines for name, lines in left.items() if lines}

    def _check_all_gone(self) -> None:
        if all(worker.status.state == "gone" for worker in self._workers):
            self._on_all_gone(", ".join(worker.status.name for worker in self._workers))
