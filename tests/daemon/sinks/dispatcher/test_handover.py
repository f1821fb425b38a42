"""The handover of a name from one sink to its successor."""

from __future__ import annotations

import pytest

from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.sinks import dispatcher as dispatcher_module
from soundwatch.daemon.sinks import health as health_module
from soundwatch.daemon.sinks import worker as worker_module
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.protocols import SinkStatus
from support.memory_logger import MemoryLogger
from support.sink_readers import WAIT_S, HeldReader, Reader, SlowReader, gap, prepared, run, until


def _close_within(monkeypatch: pytest.MonkeyPatch, closing_s: float) -> None:
    for module in (dispatcher_module, worker_module):
        monkeypatch.setattr(module, "CLOSING_S", closing_s)


def test_a_successor_begins_when_the_sink_before_has_ended(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    _close_within(monkeypatch, 0.05)
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
    _close_within(monkeypatch, 0.05)
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
    _close_within(monkeypatch, 0.02)
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
