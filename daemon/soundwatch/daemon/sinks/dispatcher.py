"""Runs the sinks: each has a thread that reads the journal from its own place and hands lines on.

Conventions: a line counts as delivered when `deliver` returns. What was given to a sink and not taken for certain,
because it failed or this program was killed, is given again, marked as repeated. A sink that fails is tried again after
`FIRST_PAUSE_S`, each time twice as late, `LONGEST_PAUSE_S` at most; its state is said when it changes, and once only.
Rule: a sink that keeps its place goes on from there after a restart; one that does not, a pipe, begins with the next
line.
Does not: know kinds of sinks (`sinks/`).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from soundwatch.daemon.core.backoff import Backoff
from soundwatch.daemon.core.errors import ReaderClosedError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.journal.entry import BATCH_LINES, Cursor, JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.protocols import Sink

FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 30.0
CLOSING_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class SinkStatus:
    """How a sink does.

    Attributes:
        name: Its.
        state: working, failing, or gone: its reader has left for good.
        reason: Why it does not work.
        since_unix_ns: When that began.
        delivered_seq: The last line it has taken.
        lost_lines: How many the journal had dropped before it could take them.
    """

    name: str
    state: str = "working"
    reason: str | None = None
    since_unix_ns: int = 0
    delivered_seq: int = 0
    lost_lines: int = 0


class SinkWorker:
    """One sink and its place in the journal.

    Args:
        sink: It.
        journal: Where lines come from.
        durable: Whether its place is kept over restarts.
        log: The log.
        gone: Called when its reader has left for good.
        most: How many lines it is given at once.
    """

    def __init__(
        self,
        sink: Sink,
        journal: Journal,
        *,
        durable: bool,
        log: Logger,
        gone: Callable[[], object],
        most: int = BATCH_LINES,
    ) -> None:
        self._sink = sink
        self._most = most
        self._journal = journal
        self._durable = durable
        self._log = log
        self._gone = gone
        self._cursor = journal.cursor(sink.name) if durable else Cursor(journal.last_seq, journal.last_seq)
        self.state = SinkStatus(sink.name, since_unix_ns=time.time_ns(), delivered_seq=self._cursor.delivered)
        self._news = threading.Event()
        self._last_seq: int | None = None  # once all is over: the last line there will be
        self._abandoned = threading.Event()
        self._leave = journal.listen(self._news.set)
        self._thread = threading.Thread(target=self._run, name=f"sink {sink.name}", daemon=True)
        self._thread.start()

    @property
    def behind_lines(self) -> int:
        """How many lines it has yet to take."""
        return self._journal.last_seq - self._cursor.delivered

    def finish(self) -> None:
        """Let it take what is left, without more patience than it needs."""
        self._last_seq = self._journal.last_seq
        self._news.set()

    def close(self, patience_s: float) -> int:
        """End it.

        Returns:
            How many lines it has not taken.
        """
        self._thread.join(patience_s)
        self._abandoned.set()
        self._leave()
        self._sink.close()
        self._thread.join(patience_s and CLOSING_S)
        return 0 if self.state.state == "gone" else self.behind_lines

    def _run(self) -> None:
        backoff = Backoff(FIRST_PAUSE_S, LONGEST_PAUSE_S)
        while not self._abandoned.is_set() and self.state.state != "gone":
            self._news.clear()
            try:
                entries = self._next()
                if entries:
                    self._deliver(entries)
                    backoff.reset()
                elif self._last_seq is not None and self._cursor.delivered >= self._last_seq:
                    return
                else:
                    self._news.wait()
            except ReaderClosedError as error:
                self._become("gone", str(error))
                self._gone()
            except Exception as error:  # noqa: BLE001  # a sink may fail, in whatever way; the daemon may not
                self._become("failing", getattr(error, "strerror", None) or str(error) or type(error).__name__)
                if self._last_seq is not None:  # the program ends
                    backoff.reset()
                self._abandoned.wait(backoff.next_s())

    def _next(self) -> list[JournalEntry]:
        """The next lines, marked where they may have been delivered before."""
        entries = self._journal.after(self._cursor.delivered, self._most)
        if entries and entries[0].seq > self._cursor.delivered + 1:
            lost_lines = entries[0].seq - self._cursor.delivered - 1
            self.state = replace(self.state, lost_lines=self.state.lost_lines + lost_lines)
            self._log.warning(
                "the journal had dropped lines before a sink could take them", sink=self._sink.name, lines=lost_lines
            )
        attempted = self._cursor.attempted
        return [replace(entry, repeated=True) if entry.seq <= attempted else entry for entry in entries]

    def _deliver(self, entries: Sequence[JournalEntry]) -> None:
        last_seq = entries[-1].seq
        self._move(Cursor(max(self._cursor.attempted, last_seq), self._cursor.delivered), wait=True)
        self._sink.deliver(entries)
        self._move(Cursor(self._cursor.attempted, last_seq), wait=False)
        self.state = replace(self.state, delivered_seq=last_seq)
        self._become("working", None)

    def _move(self, cursor: Cursor, *, wait: bool) -> None:
        self._cursor = cursor
        if self._durable:
            self._journal.move(self._sink.name, cursor, wait=wait)

    def _become(self, state: str, reason: str | None) -> None:
        """Say a change of state, once."""
        before, self.state = self.state, replace(self.state, state=state, reason=reason)
        if before.state == state:
            return
        self.state = replace(self.state, since_unix_ns=time.time_ns())
        if state == "working":
            self._log.warning("a sink works again", sink=self._sink.name)
        else:
            kept = "its lines are kept for it" if state == "failing" else "no more lines are written there"
            self._log.warning(f"a sink is {state}; {kept}", sink=self._sink.name, error=reason)


class SinkDispatcher:
    """All sinks of a program.

    Args:
        log: The log.
        all_gone: Called with their names when there is no reader left at any of them.
    """

    def __init__(self, log: Logger, all_gone: Callable[[str], object]) -> None:
        self._log = log
        self._all_gone = all_gone
        self._outlets: list[SinkWorker] = []

    def add(self, sink: Sink, journal: Journal, *, durable: bool, most: int = BATCH_LINES) -> SinkWorker:
        """Begin to hand lines to a sink, `most` at once."""
        gone = self._look_whether_all_are_gone
        outlet = SinkWorker(sink, journal, durable=durable, log=self._log, gone=gone, most=most)
        self._outlets = [*self._outlets, outlet]
        return outlet

    def remove(self, outlet: SinkWorker) -> None:
        """Let a sink take what is left, and end it."""
        self._outlets = [each for each in self._outlets if each is not outlet]
        outlet.finish()
        outlet.close(CLOSING_S)

    @property
    def states(self) -> list[SinkStatus]:
        """How each does."""
        return [outlet.state for outlet in self._outlets]

    def look(self) -> list[tuple[SinkStatus, int]]:
        """How each does, and how many lines it has yet to take."""
        return [(outlet.state, outlet.behind_lines) for outlet in self._outlets]

    def close(self, patience_s: float = CLOSING_S) -> dict[str, int]:
        """Let all take what is left, and end them.

        Returns:
            By name, how many lines each of those has not taken that have not taken all.
        """
        for outlet in self._outlets:
            outlet.finish()
        until_s = time.monotonic() + patience_s
        left = {outlet.state.name: outlet.close(max(0.0, until_s - time.monotonic())) for outlet in self._outlets}
        return {name: lines for name, lines in left.items() if lines}

    def _look_whether_all_are_gone(self) -> None:
        if all(outlet.state.state == "gone" for outlet in self._outlets):
            self._all_gone(", ".join(outlet.state.name for outlet in self._outlets))
