"""Numbers the lines, keeps them, and lets every sink read them at its own pace.

Conventions: `seq` goes on over restarts without holes. `append` takes no longer than numbering a line does: a thread of
the journal's own writes, and only what is written is given to readers. Of lines in memory `TAIL_LINES` are kept at
hand, so that readers that keep up never ask the file.
Rule for a disk that hangs: `PENDING_LINES` wait to be written, then the oldest of them are dropped and counted.
Rule for a disk that fails: lines go to a journal in memory of `FALLBACK_BYTES`, its oldest dropped and counted, and
from there to the file once it can be written again. Listening never waits for it.
Does not: run sinks (`sinks/dispatcher.py`), or know SQL (`journal/store.py`).
"""

from __future__ import annotations

import contextlib
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import islice
from typing import Final, Literal

import msgspec

from soundwatch.daemon.core.clock import format_utc
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.events.schema import UNNUMBERED, JournalHealthLine, Line, with_seq
from soundwatch.daemon.journal.entry import Cursor, JournalEntry
from soundwatch.daemon.journal.store import MEMORY, JournalStore, RetentionLimits, StoredLine

TAIL_LINES: Final = 1000
BATCH_LINES: Final = 500
PENDING_LINES: Final = 20_000
FALLBACK_BYTES: Final = 8_000_000
RETRY_S: Final = 2.0
TRIM_S: Final = 60.0
CLOSING_S: Final = 10.0
_UNMOVED: Final = "SELECT * FROM lines WHERE seq > ? ORDER BY seq LIMIT ?"


class Journal:
    """Lines in, numbered lines out, to as many readers as there are. Safe to call from several threads.

    Args:
        store: The file.
        limits: How much of it to keep.
        node: Name of this machine.
        log: The log.
        watch: Called with each line as it is numbered, in the thread that appends it.
        unix_ns: The wall clock.
    """

    def __init__(
        self,
        store: JournalStore,
        limits: RetentionLimits,
        node: str,
        log: Logger,
        watch: Callable[[Line], object] = lambda _: None,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self.dropped_lines = 0
        self._store = store
        self._limits = limits
        self._node = node
        self._log = log
        self._watch = watch
        self._unix_ns = unix_ns
        self._spare: JournalStore | None = None  # while the file cannot be written
        self._seq = self._written_seq = store.last_seq()
        self._cursors = store.cursors()
        self._new_cursors: dict[str, Cursor] = {}
        self._pending = deque[StoredLine]()
        self._tail = deque[JournalEntry](maxlen=TAIL_LINES)
        self._news = threading.Condition()  # guards all of these
        self._readers: list[Callable[[], None]] = []
        self._trimmed_s = -TRIM_S
        self._tried_s = 0.0
        self._cramped = False  # whether old lines have to go for new ones
        self._cramped_s = 0.0
        self._closing = False
        self._writer = threading.Thread(target=self._write, name="journal", daemon=True)
        self._writer.start()

    @property
    def store(self) -> JournalStore:
        """The file, for whoever looks things up in it."""
        return self._store

    @property
    def failing(self) -> bool:
        """Whether lines are kept in memory just now, since the file cannot be written."""
        return self._spare is not None

    @property
    def last_seq(self) -> int:
        """Number of the last line that readers can have."""
        return self._written_seq

    def append(self, line: Line) -> None:
        """Number a line and queue it for the file."""
        with self._news:
            self._seq += 1
            line = with_seq(line, self._seq)
            self._pending.append(_row(line))
            if len(self._pending) > PENDING_LINES:
                self._pending.popleft()
                self.dropped_lines += 1
            self._news.notify_all()
        self._watch(line)

    def after(self, seq: int, most: int = BATCH_LINES) -> list[JournalEntry]:
        """The next lines after number `seq`, `most` at most; none where there are none yet."""
        with self._news:
            if self._tail and self._tail[0].seq <= seq + 1:  # there may be holes in it, of lines that were dropped
                return list(islice((entry for entry in self._tail if entry.seq > seq), most))
            spare, end_seq = self._spare, self._written_seq
        found = [entry for entry in self._store.after(seq, most) if entry.seq <= end_seq] if seq < end_seq else []
        if spare is not None and len(found) < most:
            try:
                found += spare.after(found[-1].seq if found else seq, most - len(found))
            except sqlite3.ProgrammingError:  # it was closed just now: all of it is in the file
                return self.after(seq, most)
        return found

    def cursor(self, sink: str) -> Cursor:
        """How far a sink has come; one that is new begins with the next line."""
        with self._news:
            return self._cursors.get(sink, Cursor(self._written_seq, self._written_seq))

    def move(self, sink: str, cursor: Cursor, *, wait: bool = False) -> None:
        """Keep how far a sink has come; with `wait`, not before that is written, or cannot be."""
        with self._news:
            self._cursors[sink] = self._new_cursors[sink] = cursor
            self._news.notify_all()
            if wait:
                self._news.wait_for(lambda: sink not in self._new_cursors or self._closing or self.failing)

    def listen(self, reader: Callable[[], None]) -> Callable[[], None]:
        """Have `reader` called whenever there are new lines, in the journal's thread; it must not wait.

        Returns:
            What ends that.
        """
        with self._news:
            self._readers.append(reader)

        def leave() -> None:
            with self._news, contextlib.suppress(ValueError):
                self._readers.remove(reader)

        return leave

    def flush(self) -> None:
        """Wait until all lines so far are there for readers, ten seconds at most."""
        with self._news:
            self._news.wait_for(lambda: self._written_seq >= self._seq and not self._new_cursors, CLOSING_S)

    def close(self) -> None:
        """Write what is there and close the file."""
        with self._news:
            self._closing = True
            self._news.notify_all()
        self._writer.join(CLOSING_S)
        self._store.close()

    def _write(self) -> None:
        """The journal's thread."""
        while True:
            with self._news:
                self._news.wait_for(lambda: self._pending or self._new_cursors or self._closing, self._patience_s())
                rows = [self._pending.popleft() for _ in range(min(BATCH_LINES, len(self._pending)))]
                cursors, closing = dict(self._new_cursors), self._closing
            if rows or cursors or self._spare is not None:
                self._keep(rows, list(cursors.items()))
            if rows or cursors:
                self._hand_out(rows, cursors)
            self._trim()
            if closing and not self._pending:
                return

    def _patience_s(self) -> float:
        return RETRY_S if self._spare is not None else TRIM_S

    def _hand_out(self, rows: Sequence[StoredLine], cursors: dict[str, Cursor]) -> None:
        """Let readers have what is kept."""
        with self._news:
            self._tail += [JournalEntry(row.seq, row.line) for row in rows]
            self._written_seq = rows[-1].seq if rows else self._written_seq
            for sink, cursor in cursors.items():
                if self._new_cursors.get(sink) == cursor:
                    del self._new_cursors[sink]
            self._news.notify_all()
            readers = list(self._readers) if rows else []
        for reader in readers:
            reader()

    def _keep(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]]) -> None:
        """Write to the file, or to memory where that fails."""
        if self._spare is not None:
            self._keep_spare(self._spare, rows)
            if time.monotonic() >= self._tried_s + RETRY_S or self._closing:
                self._try_again(self._spare)
            return
        try:
            self._count(self._store.commit(rows, cursors))
        except sqlite3.Error as error:
            if _is_damaged(error) and self._started_anew(rows):
                return
            self._spare = JournalStore(MEMORY)
            self._tried_s = time.monotonic()
            self._keep_spare(self._spare, rows)
            self._tell("failing", f"the journal cannot be written: {error}; lines are kept in memory until it can")

    def _keep_spare(self, spare: JournalStore, rows: Sequence[StoredLine]) -> None:
        spare.commit(rows)
        self._count(spare.trim(RetentionLimits(0, FALLBACK_BYTES), ""))

    def _try_again(self, spare: JournalStore) -> None:
        """Move what is in memory to the file, a batch at a time, since there is room for no more at once."""
        self._tried_s = time.monotonic()
        moved = False
        while not moved:
            try:
                rows = [StoredLine(*values) for values in spare.ask(_UNMOVED, self._store.last_seq(), BATCH_LINES)]
                self._count(self._store.commit(rows, list(self._cursors.items())))
                moved = len(rows) < BATCH_LINES
            except sqlite3.Error as error:
                moved = _is_damaged(error) and self._started_anew(
                    [StoredLine(*each) for each in spare.ask(_UNMOVED, 0, -1)]
                )
                if not moved:
                    return
        self._spare = None
        spare.close()
        self._tell("working", "the journal is written again")

    def _started_anew(self, rows: Sequence[StoredLine]) -> bool:
        """Whether another file could be begun in place of one that is damaged."""
        try:
            quarantined_path = self._store.renew(rows[0].seq - 1 if rows else self._written_seq)
            self._store.commit(rows, list(self._cursors.items()))
        except (StoreError, sqlite3.Error):
            return False
        self._tell(
            "failing", f"the journal was damaged; it was put aside as {quarantined_path}, and a new one was begun"
        )
        return True

    def _count(self, dropped_lines: int) -> None:
        """Take account of lines that had to go for want of room, and say so once."""
        if not dropped_lines:
            return
        self.dropped_lines += dropped_lines
        self._cramped_s = time.monotonic()
        if not self._cramped:
            self._cramped = True
            self._tell("failing", "the disk is full: the journal drops its oldest lines for new ones")

    def _trim(self) -> None:
        now_s = time.monotonic()
        if now_s < self._trimmed_s + TRIM_S or self._spare is not None:
            return
        self._trimmed_s = now_s
        oldest_unix_ns = max(0, self._unix_ns() - round(self._limits.max_age_s * 1e9))
        if self._cramped and now_s >= self._cramped_s + 2 * TRIM_S:
            self._cramped = False
            self._tell("working", "the journal has room again")
        with contextlib.suppress(sqlite3.Error):  # tried again a minute later; `_keep` tells what is wrong
            self._store.trim(self._limits, format_utc(oldest_unix_ns))

    def _tell(self, state: Literal["failing", "working"], detail: str) -> None:
        """Say it, and write a line of it."""
        self._log.warning(detail, dropped_lines=self.dropped_lines)
        self.append(
            JournalHealthLine(
                seq=UNNUMBERED,
                time=format_utc(self._unix_ns()),
                node=self._node,
                state=state,
                detail=detail,
                dropped_lines=self.dropped_lines,
            )
        )


def _row(line: Line) -> StoredLine:
    """A line and what it is looked up by."""
    return StoredLine(
        seq=line.seq,
        time=line.time,
        type=line.type,
        source=getattr(line, "source", None),
        class_=getattr(line, "class_", None),
        id=getattr(line, "id", None),
        line=msgspec.json.encode(line) + b"\n",
    )


def _is_damaged(error: sqlite3.Error) -> bool:
    return getattr(error, "sqlite_errorcode", None) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
