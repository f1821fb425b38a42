"""Sinks and their positions in the journal: no line is lost, and repeated lines are marked."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.core.errors import ReaderClosedError
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
from soundwatch.daemon.journal.entry import Cursor, JournalEntry, RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks import dispatcher as dispatcher_module
from soundwatch.daemon.sinks import health as health_module
from soundwatch.daemon.sinks import worker as worker_module
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.protocols import SinkStatus
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


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(JournalStore(tmp_path / "journal.db"), RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    yield journal
    journal.close()


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


def test_every_sink_gets_every_line_in_order(journal: Journal) -> None:
    one, two = Reader("one"), Reader("two")
    workers, *_ = run(journal, one, 0)
    workers.add(prepared(two, durable=False), journal)
    for _ in range(250):
        journal.append(gap())
    journal.flush()
    assert workers.close() == {}
    assert [line["seq"] for line in one.lines] == list(range(1, 251))
    assert one.lines == two.lines
    assert one.closed
    assert not any("repeated" in line for line in one.lines)


def test_lines_that_a_failing_sink_may_have_received_are_repeated_with_a_mark(journal: Journal) -> None:
    sink = Reader(failures={1: OSError("no"), 2: OSError("no")}, takes=1)
    workers, log, _ = run(journal, sink, 1)
    until(lambda: sink.calls >= 3)
    journal.append(gap())
    journal.flush()
    assert workers.close() == {}
    assert [(line["seq"], line.get("repeated")) for line in sink.lines] == [(1, None), (1, True), (1, True), (2, None)]
    assert log.events == ["sink_failed", "sink_recovered"]


def test_lines_that_a_sink_has_settled_are_not_delivered_again(journal: Journal) -> None:
    for _ in range(4):
        journal.append(gap())
    journal.flush()
    journal.set_cursor("reader", Cursor(0, 0), wait=True)
    sink = SettlingReader({1: OSError("no")}, takes=2)
    workers, *_ = run(journal, sink, 0)
    assert workers.close() == {}
    assert [(line["seq"], line.get("repeated")) for line in sink.lines] == [(1, None), (2, None), (3, True), (4, True)]


def test_a_settled_line_is_not_delivered_again_after_a_stop_within_a_failing_delivery(tmp_path: Path) -> None:
    lines = list[tuple[int, bool]]()
    for failing in (True, False):
        journal = Journal(JournalStore(tmp_path / "j.db"), RetentionLimits(1e9, 10**9), "n", MemoryLogger())
        if failing:
            journal.set_cursor("reader", Cursor(0, 0), wait=True)
            for _ in range(3):
                journal.append(gap())
            journal.flush()
        failures: dict[int, Exception] = {call: OSError("no") for call in range(1, 10_000)}
        sink = SettlingReader(failures, 2) if failing else Reader()
        workers, *_ = run(journal, sink, 0)
        until(lambda sink=sink: bool(sink.lines))  # type: ignore[misc]
        if isinstance(sink, SettlingReader):
            sink.takes = 0
        workers.close(0.1)
        journal.close()
        lines += [(line["seq"], line.get("repeated", False)) for line in sink.lines]
    assert lines == [(1, False), (2, False), (3, True)]


def test_a_successor_begins_when_the_sink_before_has_ended(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dispatcher_module, worker_module):
        monkeypatch.setattr(module, "CLOSING_S", 0.05)
    before, after = HeldReader(), Reader()
    workers, *_ = run(journal, before, 1)
    [worker] = workers._workers
    workers.remove([worker])
    workers.add(prepared(after), journal)
    journal.append(gap())
    journal.flush()
    assert not worker.has_ended
    assert after.calls == 0
    before.held.set()
    until(lambda: len(after.lines) == 1)
    assert [line["seq"] for line in (*before.lines, *after.lines)] == [1, 2]
    workers.close()


def test_a_sink_that_never_ends_gives_up_its_place(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dispatcher_module, worker_module):
        monkeypatch.setattr(module, "CLOSING_S", 0.05)
    monkeypatch.setattr(worker_module, "HANDOVER_S", 0.01)
    before, after = HeldReader(), Reader()
    workers, *_ = run(journal, before, 1)
    [worker] = workers._workers
    workers.remove([worker])
    workers.add(prepared(after), journal)
    until(lambda: len(after.lines) == 1)
    journal.append(gap())
    until(lambda: len(after.lines) == 2)
    before.held.set()
    until(lambda: worker.has_ended)
    journal.flush()
    assert journal.cursor("reader").delivered == 2
    workers.close()


@pytest.fixture
def _quick_handover(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dispatcher_module, worker_module):
        monkeypatch.setattr(module, "CLOSING_S", 0.02)
    monkeypatch.setattr(worker_module, "HANDOVER_CHECK_S", 0.01)


@pytest.mark.usefixtures("_quick_handover")
def test_a_reload_does_not_end_a_delivery_that_is_slow_and_goes_well(journal: Journal) -> None:
    slow, after = SlowReader(), Reader()
    workers, *_ = run(journal, slow, 1)
    until(lambda: slow.calls == 1)
    [worker] = workers._workers
    workers.remove([worker])
    workers.add(prepared(after), journal)
    journal.append(gap())
    journal.flush()
    assert (slow.closed, after.calls) == (False, 0)
    slow.go_on.set()
    until(lambda: worker.has_ended and len(after.lines) == 1)
    workers.close()
    assert slow.closed
    assert [(line["seq"], line.get("repeated")) for line in (*slow.lines, *after.lines)] == [(1, None), (2, None)]


@pytest.mark.usefixtures("_quick_handover")
@pytest.mark.parametrize("end", ["handover", "daemon"])
def test_a_delivery_that_goes_on_after_a_reload_is_ended_later(
    journal: Journal, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    slow, after = SlowReader(), Reader()
    workers, *_ = run(journal, slow, 1)
    until(lambda: slow.calls == 1)
    [worker] = workers._workers
    workers.remove([worker])
    assert not worker.has_ended
    if end == "handover":
        monkeypatch.setattr(worker_module, "HANDOVER_S", 0.01)
        workers.add(prepared(after), journal)
        until(lambda: len(after.lines) == 1)
    workers.close(0)
    until(lambda: worker.has_ended)
    assert (slow.closed, slow.lines) == (True, [])


@pytest.mark.usefixtures("_quick_handover")
def test_a_sink_waits_for_all_of_its_name_that_may_still_deliver(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    sinks = [SlowReader(hangs=True), SlowReader(hangs=True), Reader()]
    workers, *_ = run(journal, sinks[0], 1)
    until(lambda: sinks[0].calls == 1)
    with monkeypatch.context() as quick:
        quick.setattr(worker_module, "HANDOVER_S", 0.01)
        [first] = workers._workers
        workers.remove([first])
        second = workers.add(prepared(sinks[1]), journal)
        until(lambda: sinks[1].calls == 1)
    workers.remove([second])
    workers.add(prepared(sinks[2]), journal)
    sinks[0].go_on.set()  # type: ignore[attr-defined]
    until(lambda: first.has_ended)
    assert sinks[2].calls == 0
    sinks[1].go_on.set()  # type: ignore[attr-defined]
    until(lambda: second.has_ended)
    journal.append(gap())
    until(lambda: len(sinks[2].lines) == 1)
    workers.close()
    assert sinks[2].lines[0]["seq"] == 2


@pytest.mark.usefixtures("_quick_handover")
def test_a_successor_that_never_began_leaves_the_place_as_it_is(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "HANDOVER_CHECK_S", WAIT_S)
    slow, after = SlowReader(), Reader()
    workers, *_ = run(journal, slow, 1)
    until(lambda: slow.calls == 1)
    [worker] = workers._workers
    workers.remove([worker])
    workers.add(prepared(after), journal)
    slow.go_on.set()
    until(lambda: worker.has_ended)
    workers.close(0)
    assert after.calls == 0
    assert journal.cursor("reader").delivered == 1


@pytest.mark.usefixtures("_quick_handover")
def test_the_failure_of_a_sink_that_a_reload_removes_ends(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health_module, "REPORTED_S", 0.02)
    reported = list[SinkStatus]()
    workers = SinkDispatcher(MemoryLogger(), lambda _: None, reported.append)
    worker = workers.add(prepared(Reader(failures=dict.fromkeys(range(1, 10_000), OSError("away")))), journal)
    journal.append(gap())
    until(lambda: len(reported) == 1)
    workers.remove([worker])
    assert [(one.name, one.state, one.reason) for one in reported] == [
        ("reader", "failing", "away"),
        ("reader", "working", "reader was removed by a reload."),
    ]
    workers.close()


def test_a_failure_that_lasts_is_reported_once_and_so_is_its_end(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "REPORTED_S", 0.02)
    sink = Reader(failures=dict.fromkeys(range(1, 10), OSError("away")))
    reported = list[SinkStatus]()
    workers = SinkDispatcher(MemoryLogger(), lambda _: None, reported.append)
    workers.add(prepared(sink), journal)
    journal.append(gap())
    until(lambda: len(sink.lines) > 0)
    assert workers.close() == {}
    assert [(one.name, one.state, one.reason) for one in reported] == [
        ("reader", "failing", "away"),
        ("reader", "working", None),
    ]


def test_a_failure_that_ends_soon_is_not_reported(journal: Journal) -> None:
    sink = Reader(failures={1: OSError("away")})
    reported = list[SinkStatus]()
    workers = SinkDispatcher(MemoryLogger(), lambda _: None, reported.append)
    workers.add(prepared(sink), journal)
    journal.append(gap())
    until(lambda: len(sink.lines) > 0)
    workers.close()
    assert reported == []


def test_a_slow_or_broken_sink_never_holds_up_another(journal: Journal) -> None:
    hanging = HeldReader("hanging")
    quick = Reader("quick")
    workers, *_ = run(journal, hanging, 0)
    workers.add(prepared(quick, durable=False), journal)
    for _ in range(100):
        journal.append(gap())
    until(lambda: len(quick.lines) == 100)
    assert [lines for state, lines in workers.statuses() if state.name == "hanging"] == [100]
    hanging.held.set()
    assert workers.close() == {}
    assert len(hanging.lines) == 100


def test_after_a_kill_only_lines_in_transit_are_marked(tmp_path: Path) -> None:
    first = JournalStore(tmp_path / "journal.db")
    journal = Journal(first, RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    for _ in range(6):
        journal.append(gap())
    journal.flush()
    journal.set_cursor(
        "reader", Cursor(attempted=4, delivered=2), wait=True
    )  # killed while lines 3 and 4 were under way
    journal.close()
    again = Journal(JournalStore(tmp_path / "journal.db"), RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    sink = Reader()
    workers, *_ = run(again, sink, 0)
    assert workers.close() == {}
    assert [(line["seq"], line.get("repeated")) for line in sink.lines] == [(3, True), (4, True), (5, None), (6, None)]
    again.close()


def test_a_sink_that_keeps_no_place_begins_with_the_next_line(journal: Journal) -> None:
    journal.append(gap())
    journal.flush()
    sink = Reader()
    workers, *_ = run(journal, sink, 1, durable=False)
    workers.close()
    assert [line["seq"] for line in sink.lines] == [2]


def test_a_closed_reader_is_not_retried_and_the_loss_of_all_is_reported(journal: Journal) -> None:
    gone, other = Reader("gone", {1: ReaderClosedError("gone")}), Reader("other", {2: ReaderClosedError("gone")})
    workers, _, all_gone = run(journal, gone, 0, durable=False)
    workers.add(prepared(other, durable=False), journal)
    journal.append(gap())
    until(lambda: workers.statuses()[0][0].state == "gone" and len(other.lines) == 1)
    assert all_gone == []
    journal.append(gap())
    until(lambda: all_gone == ["gone, other"])
    assert gone.calls == 1
    assert workers.close() == {}


def test_lines_that_a_sink_cannot_take_before_the_end_are_counted(journal: Journal) -> None:
    sink = Reader(failures=dict.fromkeys(range(1, 10_000), OSError("away")))
    workers, *_ = run(journal, sink, 3)
    assert workers.close(patience_s=0.05) == {"reader": 3}
    assert workers.statuses()[0][0].reason == "away"


def test_lines_removed_before_delivery_are_counted_and_logged(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    journal = Journal(store, RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    journal.set_cursor("reader", Cursor(0, 0), wait=True)
    for _ in range(10):
        journal.append(gap())
    journal.flush()
    journal.close()
    JournalStore(tmp_path / "journal.db").drop_oldest(0.4)
    again = Journal(JournalStore(tmp_path / "journal.db"), RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    sink = Reader()
    workers, log, _ = run(again, sink, 0)
    assert workers.close() == {}
    assert [line["seq"] for line in sink.lines] == [5, 6, 7, 8, 9, 10]
    assert workers.statuses()[0][0].lost_lines == 4
    assert log.events == ["sink_lines_dropped"]
    again.close()
