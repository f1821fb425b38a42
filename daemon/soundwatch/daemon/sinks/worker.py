"""Delivery of lines from the journal to one sink, in its own thread.

Conventions: a line counts as delivered when `deliver` returns, or when the sink has settled the line before that. Lines
that were given to a sink and may not have arrived, because the sink failed or this program was killed, are delivered
again, marked as repeated.
Rule for a sink that fails or cannot be opened: detection continues, and the sink is tried again after `FIRST_PAUSE_S`,
then after twice as long each time, up to `LONGEST_PAUSE_S`.
Rule for places: a durable sink continues at its place after a restart; any other sink starts with the next line.
Rule for closing: no step waits longer than its limit, even if a file system or a resolver hangs.
Rule for a sink that a reload removes: a delivery that is under way after `CLOSING_S` continues, since the lines of one
that is ended are sent again; then the thread ends. Where the last attempt has failed, the delivery is ended.
Rule for a successor of a sink: the successor begins when the threads of all before it have ended. After `HANDOVER_S`,
their deliveries are ended, and they give up the place in the journal.
Does not: know the kinds of sinks (`sinks/kinds.py`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from soundwatch.daemon.core.network.backoff import Backoff
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.text.messages import failure_text
from soundwatch.daemon.journal.entry import Cursor, JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.queries.deletion import lost_lines
from soundwatch.daemon.sinks.health import SinkHealth
from soundwatch.daemon.sinks.protocols import SettlingSink, Sink, SinkStatus, SkippingSink
from soundwatch.daemon.sinks.spec import PreparedSink

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
CLOSING_S: Final = 5.0
STORE_S: Final = 0.2  # between two writes of the cursor within a delivery
HANDOVER_S: Final = 60.0
HANDOVER_CHECK_S: Final = 0.1


class SinkWorker:
    """One sink of a running daemon: its thread and its place in the journal.

    Args:
        prepared: The sink, not open yet.
        journal: Source of the lines.
        log: Log of the daemon.
        on_gone: Called when the reader has left for good.
        before: Workers of the name that have not ended yet.
        report: Called with the status when a failure lasts, and at its end.
        is_reported: A failure was reported by an earlier run, and its end was not.
    """

    def __init__(
        self,
        prepared: PreparedSink,
        journal: Journal,
        log: Logger,
        on_gone: Callable[[], object] = lambda: None,
        before: Sequence[SinkWorker] = (),
        report: Callable[[SinkStatus], object] = lambda _: None,
        *,
        is_reported: bool = False,
    ) -> None:
        self._prepared = prepared
        self._sink: Sink | None = None
        self._journal = journal
        self._log = log
        self._on_gone = on_gone
        self._before = tuple(before)
        next_line = Cursor(journal.last_seq, journal.last_seq)
        self._cursor = journal.cursor(prepared.name) if prepared.durable else next_line
        self._stored_s = 0.0
        self._has_place = not before
        self._leaves = False
        self._health = SinkHealth(prepared.name, log, self._cursor.delivered, report, is_reported=is_reported)
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
        sink, status = self._sink, self._health.status
        return replace(status, skipped_lines=sink.skipped_lines) if isinstance(sink, SkippingSink) else status

    @property
    def backlog_lines(self) -> int:
        """Number of lines that the sink has yet to take."""
        return self._journal.last_seq - self._cursor.delivered

    @property
    def has_ended(self) -> bool:
        """Return True if the thread has ended, so that no more lines are delivered."""
        return not self._thread.is_alive()

    @property
    def has_place(self) -> bool:
        """Return True if the position in the journal is this worker's: former ones have ended, without a successor."""
        return self._has_place

    def give_up(self) -> None:
        """End a delivery that is under way, and leave the place in the journal to another worker."""
        if not self.has_ended:
            self.close(0.0)
            self._thread.join(CLOSING_S)
        self._has_place = False

    def wait_tried(self, timeout_s: float) -> bool:
        """Wait until the sink was opened or has failed to open once; return whether it was within the time."""
        return self._tried.wait(timeout_s)

    def finish(self) -> None:
        """Deliver the remaining lines, and end."""
        self._last_seq = self._journal.last_seq
        self._wake.set()

    def leave(self, patience_s: float) -> None:
        """End the sink for a reload, which does not end a delivery that goes well.

        Args:
            patience_s: Time for the remaining lines.
        """
        self._leaves = True
        self._thread.join(patience_s)
        if self.has_ended or self.status.state != "working":
            self.close(0.0)
        self._stop()
        self._journal.forget_reader(self.status.name)
        self._health.end(f"{self.status.name} was removed by a reload.")

    def close(self, patience_s: float) -> int:
        """End the sink, also a delivery that is under way after the time.

        Args:
            patience_s: Time for the remaining lines.

        Returns:
            Number of lines that were not delivered.
        """
        self._thread.join(patience_s)
        self._stop()
        limit_s = CLOSING_S if patience_s else 0.0
        closing = threading.Thread(target=self._close_sink, name=f"closing {self.status.name}", daemon=True)
        try:
            closing.start()
        except (MemoryError, RuntimeError) as error:  # no thread can be started, and none may wait for the sink
            self._log.warning("sink_close_failed", sink=self.status.name, error=failure_text(error))
        else:
            closing.join(CLOSING_S)
        self._thread.join(limit_s)
        self._store()
        return 0 if self.status.state == "gone" else self.backlog_lines

    def _stop(self) -> None:
        """Let the thread end after the delivery that is under way."""
        self._stopped.set()
        self._wake.set()
        self._unsubscribe()

    def _close_sink(self) -> None:
        sink = self._sink
        if sink is None:
            return
        try:
            sink.close()
        except Exception as error:  # noqa: BLE001  # a sink may fail in any way, also at its end
            self._log.warning("sink_close_failed", sink=self.status.name, error=failure_text(error))

    def _run(self) -> None:
        """Deliver lines until the end, and close the sink where a reload has removed it."""
        self._deliver_all()
        if self._leaves:
            self._close_sink()

    def _deliver_all(self) -> None:
        """Open the sink and deliver lines, until the end."""
        backoff: Backoff | None = None
        self._wait_for_place()
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

    def _wait_for_place(self) -> None:
        """Wait until the workers before this one have ended, and continue at their place."""
        if not self._before:
            return
        until_s = time.monotonic() + HANDOVER_S
        while not all(worker.has_ended for worker in self._before) and time.monotonic() < until_s:
            if self._stopped.wait(HANDOVER_CHECK_S):
                return
        for worker in self._before:
            worker.give_up()
        self._before, self._has_place = (), True
        if self._prepared.durable:
            self._cursor = self._journal.cursor(self.status.name)

    def _open(self) -> bool:
        """Open the sink; return True, since lines may wait for it."""
        self._sink = sink = self._prepared.open()
        if isinstance(sink, SettlingSink):
            sink.on_settled = self._settle
        if self._stopped.is_set():  # `close` may not have known of it
            sink.close()
        return True

    def _deliver_next(self) -> bool:
        """Deliver the next lines; return whether there were any."""
        entries = self._next()
        if not entries or self._sink is None:
            return False
        last_seq = entries[-1].seq
        self._cursor = Cursor(max(self._cursor.attempted, last_seq), self._cursor.delivered)
        self._store(wait=True)
        try:
            self._sink.deliver(entries)
            self._settle(last_seq)
        finally:
            self._store()
        return True

    def _next(self) -> Sequence[JournalEntry]:
        """Return the next lines, marked where they may have been delivered before."""
        entries = self._journal.read_after(self._cursor.delivered, self._prepared.batch_lines)
        if entries and entries[0].seq > self._cursor.delivered + 1:
            if lines := lost_lines(self._journal.store, self._cursor.delivered, entries[0].seq):
                self._health.lost(lines)
                self._log.warning("sink_lines_dropped", sink=self.status.name, lines=lines)
            self._cursor = replace(self._cursor, delivered=entries[0].seq - 1)
        attempted = self._cursor.attempted
        return [replace(entry, repeated=True) if entry.seq <= attempted else entry for entry in entries]

    def _settle(self, seq: int) -> None:
        """Note that the sink has taken the lines up to `seq`, also within a delivery."""
        self._cursor = replace(self._cursor, delivered=seq)
        self._health.delivered(seq)
        if time.monotonic() - self._stored_s >= STORE_S:
            self._store()

    def _store(self, *, wait: bool = False) -> None:
        """Write the cursor; with `wait`, return after that."""
        if self._prepared.durable and self._has_place:
            self._stored_s = time.monotonic()
            self._journal.set_cursor(self.status.name, self._cursor, wait=wait)
