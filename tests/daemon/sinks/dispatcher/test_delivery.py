"""Sinks and their positions in the journal: no line is lost, and repeated lines are marked."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ReaderClosedError
from soundwatch.daemon.journal.entry import Cursor, RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks import health as health_module
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.protocols import SinkStatus
from support.memory_logger import MemoryLogger
from support.sink_readers import WAIT_S, HeldReader, Reader, SettlingReader, gap, prepared, run, until


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


def test_a_failure_that_an_earlier_run_has_reported_ends_with_the_first_delivery(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(health_module, "REPORTED_S", 0.0)
    sink = Reader(failures={1: OSError("away"), 2: OSError("away")})
    reported, names = list[SinkStatus](), {"reader", "removed"}
    workers = SinkDispatcher(MemoryLogger(), lambda _: None, reported.append, names)
    worker = workers.add(prepared(sink), journal)
    assert worker.wait_tried(WAIT_S)
    assert (reported, names) == ([], {"removed"}), "that it was opened is no proof"
    journal.append(gap())
    until(lambda: len(sink.lines) > 0)
    workers.close()
    assert [(one.name, one.state) for one in reported] == [("reader", "working")]


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
