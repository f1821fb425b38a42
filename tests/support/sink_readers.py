"""Sinks that store, settle, hold, delay or refuse lines, and a dispatcher that delivers to them."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.spec import PreparedSink
from support.memory_logger import MemoryLogger

WAIT_S = 60.0


def gap() -> GapLine:
    time_text = "2026-11-26T00:00:00.000Z"
    return GapLine(
        seq=UNNUMBERED, time=time_text, node="n", source="s", start=time_text, duration_s=1.0, reason="capture"
    )


class Reader:
    """A sink that stores lines, or fails at selected deliveries."""

    def __init__(self, name: str = "reader", failures: dict[int, Exception] | None = None, takes: int = 0) -> None:
        self.name = name
        self.failures = failures or {}
        self.takes = takes  # how many lines of a failing delivery arrive all the same
        self.lines: list[dict[str, Any]] = []
        self.calls = 0
        self.closed = False

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        self.calls += 1
        failure = self.failures.get(self.calls)
        taken = entries if failure is None else entries[: self.takes]
        self.lines += [json.loads(entry.encoded) for entry in taken]
        if failure is not None:
            raise failure

    def close(self) -> None:
        self.closed = True


class SettlingReader(Reader):
    """A sink that settles the lines that arrive in a failing delivery."""

    def __init__(self, failures: dict[int, Exception], takes: int) -> None:
        super().__init__("reader", failures, takes)
        self.on_settled: Callable[[int], object] = lambda _: None

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        try:
            super().deliver(entries)
        except OSError:
            for entry in entries[: self.takes]:
                self.on_settled(entry.seq)
            raise


class HeldReader(Reader):
    """A sink whose deliveries wait until `held` is set."""

    def __init__(self, name: str = "reader") -> None:
        super().__init__(name)
        self.held = threading.Event()

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        self.held.wait(WAIT_S)
        super().deliver(entries)


class SlowReader(Reader):
    """A sink whose deliveries wait until they may go on, or fail where the sink is closed before."""

    def __init__(self, *, hangs: bool = False) -> None:
        super().__init__()
        self.go_on = threading.Event()
        self.hangs = hangs  # closing the sink ends no delivery

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        self.calls += 1
        assert self.go_on.wait(WAIT_S)
        if self.closed and not self.hangs:
            raise InterruptedError("closed")
        self.lines += [json.loads(entry.encoded) for entry in entries]

    def close(self) -> None:
        super().close()
        if not self.hangs:
            self.go_on.set()


def prepared(sink: Reader, *, durable: bool = True) -> PreparedSink:
    return PreparedSink(sink.name, ("reader", sink.name), lambda: sink, lambda: None, durable)


def until(done: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + WAIT_S
    while not done():
        assert time.monotonic() < deadline_s
        threading.Event().wait(0.005)


def run(
    journal: Journal, sink: Reader, lines: int, *, durable: bool = True
) -> tuple[SinkDispatcher, MemoryLogger, list[str]]:
    log, gone = MemoryLogger(), list[str]()
    workers = SinkDispatcher(log, gone.append)
    workers.add(prepared(sink, durable=durable), journal)
    for _ in range(lines):
        journal.append(gap())
    journal.flush()
    return workers, log, gone
