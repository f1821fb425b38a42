"""Number the lines, store them, and let every sink read at its own pace.

Conventions: `seq` continues over restarts without holes. `append` only numbers a line: a thread of the journal writes,
and readers get a line after it is written. The last `TAIL_LINES` are in memory for readers that keep up.
Rule for a disk that hangs: `PENDING_LINES` lines wait to be written, then the oldest of them are dropped and counted.
Rule for a disk that fails: lines go to a journal in memory of `FALLBACK_BYTES`, where the oldest are dropped and
counted, and move to the file when it can be written again. Detection never waits for the file.
Rule for errors: no error ends the thread of the journal. A failed step is tried once more, then its lines are dropped.
Does not: run sinks (`sinks/worker.py`), or know SQL (`journal/store.py`).
"""

from __future__ import annotations

import math
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final

from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.process.subscribers import Subscribers
from soundwatch.daemon.events.schema import Line, with_seq
from soundwatch.daemon.journal.entry import Cursor, JournalEntry, RetentionLimits, StoredLine, cursor_name, stored_line
from soundwatch.daemon.journal.file.sqlite import MEMORY, is_corruption
from soundwatch.daemon.journal.health import JournalHealth
from soundwatch.daemon.journal.store import JournalStore

TAIL_LINES: Final = 1000
TRANSACTION_LINES: Final = 500  # largest number of lines that are stored or read at once
PENDING_LINES: Final = 20_000
FALLBACK_BYTES: Final = 8_000_000
RETRY_S: Final = 2.0
TRIM_S: Final = 60.0
CLOSING_S: Final = 10.0


class Journal:
    """Lines in, numbered lines out, to any number of readers. Safe to call from several threads.

    Args:
        store: The file.
        limits: Limits of age and size.
        node: Name of this machine.
        log: The log.
        watch: Called with each numbered line, in the thread that appends it.
    """

    def __init__(
        self,
        store: JournalStore,
        limits: RetentionLimits,
        node: str,
        log: Logger,
        watch: Callable[[Line], object] = lambda _: None,
    ) -> None:
        self._store, self._limits, self._log, self._watch = store, limits, log, watch
        self._health = JournalHealth(store, node, log, self.append)
        self._fallback: JournalStore | None = None  # in use while the file cannot be written
        self._seq = self._written_seq = store.last_seq()
        self._cursors, self._new_cursors = store.cursors(), dict[str, Cursor]()
        self._readers_of_run = set[str]()  # sinks that asked for their cursor, and were not removed since
        self._pending, self._tail = deque[StoredLine](), deque[JournalEntry](maxlen=TAIL_LINES)
        self._changed = threading.Condition()  # guards all fields above
        self._readers = Subscribers[()]()
        self._trimmed_s, self._retried_s = -TRIM_S, 0.0
        self._failed_seq = 0  # first line of the last step that failed
        self._closing = self._damaged = False  # damaged: a reader has met a damaged page
        self._health.check()
        self._writer = threading.Thread(target=self._run, name="journal", daemon=True)
        self._writer.start()

    @property
    def store(self) -> JournalStore:
        """The file, for queries."""
        return self._store

    @property
    def dropped_lines(self) -> int:
        """Number of lines that were lost so far."""
        return self._health.dropped_lines

    @property
    def failing(self) -> bool:
        """The file cannot be written, and lines are kept in memory."""
        return self._fallback is not None

    @property
    def last_seq(self) -> int:
        """Number of the last line that readers can get."""
        return self._written_seq

    def append(self, line: Line) -> None:
        """Number a line and queue it for the file."""
        with self._changed:
            line = with_seq(line, self._seq + 1)
            self._pending.append(stored_line(line))  # a line that cannot be encoded takes no number
            self._seq += 1
            if len(self._pending) > PENDING_LINES:
                self._pending.popleft()
                self._health.dropped_lines += 1
            self._changed.notify_all()
        self._watch(line)

    def read_after(self, seq: int, limit: int = TRANSACTION_LINES) -> list[JournalEntry]:
        """Return the next lines after number `seq`, at most `limit`; an empty list where there are none yet."""
        with self._changed:
            if self._tail and self._tail[0].seq <= seq + 1:  # dropped lines leave holes
                return list(islice((entry for entry in self._tail if entry.seq > seq), limit))
            fallback, end_seq = self._fallback, self._written_seq
        found = self._read_file(seq, end_seq, limit) if seq < end_seq else []
        if fallback is not None and len(found) < limit:
            try:
                found += fallback.read_after(found[-1].seq if found else seq, limit - len(found))
            except sqlite3.ProgrammingError:  # closed a moment ago: all of its lines are in the file
                return self.read_after(seq, limit)
        return found

    def _read_file(self, seq: int, end_seq: int, limit: int) -> list[JournalEntry]:
        try:
            return [entry for entry in self._store.read_after(seq, limit) if entry.seq <= end_seq]
        except sqlite3.DatabaseError as error:
            with self._changed:
                self._damaged = self._damaged or is_corruption(error)
                self._changed.notify_all()
            raise

    def cursor(self, sink: str) -> Cursor:
        """Return the cursor of a sink; a new sink begins with the next line."""
        sink = cursor_name(sink)
        with self._changed:
            self._readers_of_run.add(sink)
            if sink not in self._cursors:  # kept from now on: the sink may take no line in this run
                self._cursors[sink] = self._new_cursors[sink] = Cursor(self._written_seq, self._written_seq)
                self._changed.notify_all()
            return self._cursors[sink]

    def forget_reader(self, sink: str) -> None:
        """Report no more lines that a sink has not taken, until the sink asks for its cursor again."""
        with self._changed:
            self._readers_of_run.discard(cursor_name(sink))

    def set_cursor(self, sink: str, cursor: Cursor, *, wait: bool = False) -> None:
        """Store the cursor of a sink; with `wait`, return after it is written or cannot be."""
        sink = cursor_name(sink)
        with self._changed:
            self._cursors[sink] = self._new_cursors[sink] = cursor
            self._changed.notify_all()
            if wait:
                self._changed.wait_for(lambda: sink not in self._new_cursors or self._closing or self.failing)

    def subscribe(self, reader: Callable[[], None]) -> Callable[[], None]:
        """Call `reader`, which must not wait, on new lines; return a function that ends the subscription."""
        return self._readers.add(reader)

    def flush(self) -> None:
        """Wait until readers can get all lines so far; give up after ten seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._written_seq >= self._seq and not self._new_cursors, CLOSING_S)

    def clear_memory(self) -> None:
        """Read all lines so far from the file, where lines were deleted."""
        with self._changed:
            self._tail.clear()

    def close(self) -> None:
        """Write the queued lines and close the file."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._writer.join(CLOSING_S)
        self._store.close()

    def _run(self) -> None:
        """Write lines until `close`."""
        closing = False
        while not closing or self._pending:
            rows, cursors = list[StoredLine](), dict[str, Cursor]()
            try:
                with self._changed:
                    self._changed.wait_for(self._has_work, RETRY_S if self._fallback is not None else TRIM_S)
                    closing, cursors = self._closing, dict(self._new_cursors)
                    rows = list(islice(self._pending, TRANSACTION_LINES))
                    for _ in rows:
                        self._pending.popleft()
                self._step(rows, cursors)
            except Exception as error:  # noqa: BLE001  # no error may end this thread, which all sinks depend on
                self._log.error("journal_step_failed", error=str(error) or type(error).__name__, lines=len(rows))
                self._put_back(rows, cursors)

    def _put_back(self, rows: Sequence[StoredLine], cursors: dict[str, Cursor]) -> None:
        """Queue the lines of a failed step again, once, without its cursors, and wait."""
        unwritten = rows if rows and rows[0].seq > self._written_seq else []
        if unwritten and unwritten[0].seq == self._failed_seq:
            self._health.dropped(len(unwritten), "the lines could not be written")
            unwritten = []
        with self._changed:
            self._new_cursors = dict(self._new_cursors.items() - cursors.items())  # set again after the next line
            self._pending.extendleft(reversed(unwritten))
            self._failed_seq = unwritten[0].seq if unwritten else 0
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._closing, RETRY_S)

    def _step(self, rows: Sequence[StoredLine], cursors: dict[str, Cursor]) -> None:
        """Write one batch, publish it, and trim the file."""
        if self._damaged and self._fallback is None:
            self._damaged = False
            self._recreate([])
        if rows or cursors or self._fallback is not None:
            self._persist(rows, list(cursors.items()))
        if rows or cursors:
            self._publish(rows, cursors)
        self._trim()

    def _has_work(self) -> bool:
        return bool(self._pending or self._new_cursors or self._closing or self._damaged)

    def _publish(self, rows: Sequence[StoredLine], cursors: dict[str, Cursor]) -> None:
        """Give written lines to the readers."""
        with self._changed:
            self._tail += [JournalEntry(row.seq, row.line) for row in rows]
            self._written_seq = rows[-1].seq if rows else self._written_seq
            self._new_cursors = dict(self._new_cursors.items() - cursors.items())
            self._changed.notify_all()
        if rows:
            self._readers.call()

    def _persist(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]]) -> None:
        """Write to the file, or to memory where that fails."""
        if self._fallback is not None:
            self._persist_in_memory(self._fallback, rows)
            if time.monotonic() >= self._retried_s + RETRY_S or self._closing:
                self._retry(self._fallback)
            return
        try:
            self._health.dropped(self._store.commit(rows, cursors))
        except sqlite3.Error as error:
            if is_corruption(error) and self._recreate(rows):
                return
            self._fallback = JournalStore(MEMORY)
            self._retried_s = time.monotonic()
            self._persist_in_memory(self._fallback, rows)
            self._health.failed(error)
        self._health.check()

    def _persist_in_memory(self, fallback: JournalStore, rows: Sequence[StoredLine]) -> None:
        fallback.commit(rows)
        self._health.dropped(fallback.trim(RetentionLimits(math.inf, FALLBACK_BYTES)).removed_lines)

    def _retry(self, fallback: JournalStore) -> None:
        """Move the lines in memory to the file, in batches, since the file has room for one batch at a time."""
        self._retried_s = time.monotonic()
        moved = False
        while not moved:
            try:
                rows = fallback.stored_after(self._store.last_seq(), TRANSACTION_LINES)
                self._health.dropped(self._store.commit(rows, list(self._cursors.items())))
                moved = len(rows) < TRANSACTION_LINES
            except sqlite3.Error as error:
                moved = is_corruption(error) and self._recreate(fallback.stored_after(0, -1))
                if not moved:
                    return
        self._fallback = None
        fallback.close()
        self._health.check()
        self._health.recovered()

    def _recreate(self, rows: Sequence[StoredLine]) -> bool:
        """Begin a new file with the readable rows of a damaged one; False where this fails."""
        try:
            self._store.recreate(rows[0].seq - 1 if rows else self._written_seq)
            self._store.commit(rows, list(self._cursors.items()))
        except (StoreError, sqlite3.Error) as error:
            self._log.error("journal_salvage_failed", error=str(error))
            return False
        self._health.check()
        return True

    def _trim(self) -> None:
        now_s = time.monotonic()
        if now_s < self._trimmed_s + TRIM_S or self._fallback is not None:
            return
        self._trimmed_s = now_s
        with self._changed:
            behind = {sink: self._cursors[sink].delivered for sink in self._readers_of_run}
        slowest = min(behind, key=lambda sink: behind[sink], default=None)
        try:
            trimmed = self._store.trim(self._limits, None if slowest is None else behind[slowest])
        except sqlite3.Error as error:  # the next trim is a minute later
            if not is_corruption(error) or not self._recreate([]):
                self._log.warning("journal_trim_failed", error=str(error))
            return
        reason = f"the limits of age or size removed lines that {slowest} had not yet taken"
        self._health.dropped(trimmed.undelivered_lines, reason)
        self._health.check()
