"""Machines and a fleet at a real Mosquitto, and what gets lost between them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from sqlalchemy.exc import OperationalError

from soundwatch.daemon.core.files.renewed import Renewed
from soundwatch.daemon.fleet import collector as module
from soundwatch.daemon.fleet import gap_tracker
from soundwatch.daemon.fleet.collector import Collector
from soundwatch.daemon.fleet.gap_tracker import MAX_JOURNALS
from soundwatch.daemon.fleet.messages import LineMessage
from soundwatch.daemon.fleet.store import Batch, FleetStore
from soundwatch.daemon.journal.queries.query import LineFilter
from soundwatch.daemon.sinks.mqtt.connection import Broker
from soundwatch.daemon.sinks.mqtt.node_report import MAX_SEQ
from soundwatch.daemon.sinks.worker import SinkWorker
from support.fleet_harness import JOURNAL, keys_of, report_of
from support.memory_logger import MemoryLogger
from support.mosquitto import Listener, Mosquitto, wait_until
from support.ports import free_port
from support.sink_harness import SinkHarness


class Failing(FleetStore):
    """A store that fails on request."""

    failing = False

    def save(self, batch: Batch) -> None:
        """Save a batch, or fail."""
        if self.failing:
            raise OperationalError("INSERT", {}, OSError("the disk is full"))
        super().save(batch)


class Fleet:
    """A collector in a thread."""

    def __init__(self, port: int, path: Path, **options: Any) -> None:
        self.shown: list[LineMessage] = []
        self.log = MemoryLogger()
        self.store = Failing(str(path))
        broker = Broker("127.0.0.1", port, None, None, None)
        self.collector = Collector(
            Renewed(lambda: broker, []),
            self.store,
            self._show,
            self.log,
            **options,
        )
        self._thread = threading.Thread(target=self.collector.run)
        self._thread.start()

    def _show(self, lines: Sequence[LineMessage]) -> None:
        self.shown += lines

    def seqs(self) -> list[int]:
        """Numbers of the lines that were shown, in that order."""
        return [message.header.seq for message in self.shown]

    def log_events(self) -> list[str]:
        """Names of the logged events."""
        return self.log.events

    def end(self) -> None:
        """Stop it."""
        self.collector.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()
        self.store.close()


@pytest.fixture
def fleet_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Fleet]]:
    monkeypatch.setattr(module, "POLL_S", 0.05)
    fleets: list[Fleet] = []

    def begin(mosquitto: Mosquitto, **options: Any) -> Fleet:
        fleets.append(Fleet(mosquitto.port, tmp_path / "fleet.db", **options))
        return fleets[-1]

    yield begin
    for fleet in fleets:
        if not fleet.collector.stopping:
            fleet.end()


def left_after_one_line(harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]) -> SinkWorker:
    """A machine whose fleet has taken its first line and gone."""
    first = fleet_at(mosquitto)
    wait_until(lambda: not first.collector.failures)
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    harness.event("start", "A")
    wait_until(lambda: first.seqs() == [1])
    first.end()
    return worker


@pytest.mark.slow
def test_lines_are_kept_shown_once_and_folded(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]
) -> None:
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    harness.hello()
    harness.event("start")
    wait_until(lambda: fleet.seqs() == [1, 2])
    node = fleet.collector.nodes["edge1"]
    assert (node.status, list(node.active)) == ("online", ["A"])
    harness.event("end")
    wait_until(lambda: not fleet.collector.nodes["edge1"].active)
    wait_until(lambda: (report := fleet.collector.nodes["edge1"].report) and report.sent_seq == 3)
    assert abs(fleet.collector.nodes["edge1"].skew_s or 0) < 60
    assert len(list(fleet.store.lines(LineFilter()))) == 3


@pytest.mark.slow
def test_lines_missed_by_the_collector_are_requested_and_stored_once(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]
) -> None:
    worker = left_after_one_line(harness, mosquitto, fleet_at)
    for number in range(700):
        harness.event("start", f"B{number}")
    harness.wait_for(worker)
    second = fleet_at(mosquitto)
    wait_until(lambda: len(second.shown) == 700)
    harness.event("start", "C")
    wait_until(lambda: len(second.shown) == 701)
    assert sorted(second.seqs()) == list(range(2, 703)), "each once, though four requests were answered for it"
    assert second.collector.counts.asked >= 4
    assert second.collector.nodes["edge1"].lost_lines == 0
    assert len(list(second.store.lines(LineFilter()))) == 702


@pytest.mark.slow
def test_lines_that_the_node_dropped_are_counted_as_lost(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]
) -> None:
    worker = left_after_one_line(harness, mosquitto, fleet_at)
    for number in range(1100):  # more than the journal has at hand, so that the file is asked
        harness.event("start", f"B{number}")
    harness.wait_for(worker)
    harness.journal.store.transaction(lambda db: db.execute("DELETE FROM lines WHERE seq <= 101"))
    second = fleet_at(mosquitto)
    wait_until(lambda: second.collector.nodes["edge1"].lost_lines == 100)
    wait_until(lambda: len(second.shown) == 1000)
    problems = second.collector.nodes["edge1"].problems(0)
    assert "100 of its lines are lost for good." in problems


@pytest.mark.slow
def test_a_failing_store_loses_no_line(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_PENDING_MESSAGES", 20)  # far fewer than what comes meanwhile
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    harness.event("start", "A")
    wait_until(lambda: fleet.seqs() == [1])
    fleet.store.failing = True
    for number in range(200):
        harness.event("start", f"B{number}")
    harness.wait_for(worker)
    wait_until(lambda: fleet.collector.failures.get("store") == "the disk is full")
    assert fleet.seqs() == [1], "what is not kept is not shown"
    fleet.store.failing = False
    wait_until(lambda: len(fleet.shown) == 201)
    assert sorted(fleet.seqs()) == list(range(1, 202))
    wait_until(lambda: fleet.collector.counts.dropped)
    assert fleet.collector.nodes["edge1"].lost_lines == 0
    assert fleet.log_events().count("store_unavailable") == 1
    assert fleet.log_events().count("store_available") == 1


@pytest.mark.slow
def test_killing_the_broker_loses_no_line(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]
) -> None:
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    harness.event("start", "A")
    wait_until(lambda: fleet.seqs() == [1])
    mosquitto.kill()
    for number in range(50):
        harness.event("start", f"B{number}")
    wait_until(lambda: "broker" in fleet.collector.failures)
    mosquitto.start()
    wait_until(lambda: len(fleet.shown) == 51)
    assert sorted(fleet.seqs()) == list(range(1, 52))
    assert fleet.log_events()[-1] == "broker_available"


def test_invalid_messages_are_counted_and_logged_once(
    mosquitto: Mosquitto, listener: Listener, fleet_at: Callable[..., Fleet]
) -> None:
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    for payload in ("{}", "{}", '{"seq":', '{"x":' + 30_000 * "[", '{"time":"9999-12-31T23:59:59Z"}'):
        listener.publish(f"soundwatch/evil/lines/{JOURNAL}", payload)
    listener.publish(f"soundwatch/good/lines/{JOURNAL}", str(keys_of(1, "good")).replace("'", '"'))
    wait_until(lambda: fleet.seqs() == [1])
    assert fleet.collector.counts.refused == 5
    assert fleet.log_events() == ["broker_available", "message_refused"]
    assert list(fleet.collector.nodes) == ["good"]


@pytest.mark.slow
def test_no_line_is_lost_with_a_broker_that_drops_messages(
    mosquitto_folder: Path, fleet_at: Callable[..., Fleet]
) -> None:
    broker = Mosquitto(mosquitto_folder, free_port(), "allow_anonymous true\nmax_queued_messages 30\n", keeping="")
    harnesses = [SinkHarness(node=f"edge{number}") for number in range(4)]
    try:
        for harness in harnesses:
            worker = harness.open(f"mqtt://{broker.address},fleet=1,report_s=0.2,discovery=0")
            for number in range(400):
                harness.event("start", f"E{number}")
            harness.wait_for(worker)
        fleet = fleet_at(broker, past=True, reply_timeout_s=1.0)  # the broker drops the ends of replies too
        wait_until(lambda: len(fleet.shown) == 4 * 400)
        assert sorted(fleet.seqs()) == sorted(4 * list(range(1, 401)))
        assert [node.lost_lines for node in fleet.collector.nodes.values()] == [0, 0, 0, 0]
        assert fleet.collector.counts.asked > 4 * 2, "some of it was dropped, and asked for once more"
    finally:
        for harness in harnesses:
            harness.close()
        broker.kill()


def test_a_node_without_a_retained_status_gets_requests(
    harness: SinkHarness, mosquitto: Mosquitto, fleet_at: Callable[..., Fleet]
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2,retain=0")
    harness.event("start")
    harness.wait_for(worker)
    fleet = fleet_at(mosquitto, past=True)
    wait_until(lambda: fleet.seqs() == [1])
    assert fleet.collector.nodes["edge1"].status == "online"


@pytest.mark.slow
def test_the_number_of_concurrent_requests_is_limited(
    mosquitto: Mosquitto, listener: Listener, fleet_at: Callable[..., Fleet]
) -> None:
    fleet = fleet_at(mosquitto, past=True)
    wait_until(lambda: not fleet.collector.failures)
    for number in range(30):
        listener.publish(f"soundwatch/n{number}/status", "online")
        report = (
            f'{{"time":"2026-11-22T08:15:02.418Z","node":"n{number}","journal":"{JOURNAL}","last_seq":5,'
            '"sent_seq":5,"version":"0","model":"m","provider":"p","report_s":30,"sources":{}}'
        )
        listener.publish(f"soundwatch/n{number}/report", report)
    wait_until(lambda: len(fleet.collector.nodes) == 30)
    wait_until(lambda: fleet.collector.counts.asked == module.MAX_REQUESTS)
    listener.publish("soundwatch/n0/resend/done", f'{{"journal":"{JOURNAL}","after":0,"up_to":5,"runs":[]}}')
    wait_until(lambda: fleet.collector.counts.asked == module.MAX_REQUESTS + 1)
    assert fleet.collector.nodes["n0"].lost_lines == 5


def test_hundreds_of_journals_of_one_node_leave_the_others_served(
    mosquitto: Mosquitto, listener: Listener, fleet_at: Callable[..., Fleet]
) -> None:
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    reports = [report_of(MAX_SEQ - 1, MAX_SEQ - 1, journal=f"{number:x}", node="odd").report for number in range(300)]
    listener.publish_all("soundwatch/odd/report", map(msgspec.json.encode, reports))
    listener.publish(f"soundwatch/good/lines/{JOURNAL}", msgspec.json.encode(keys_of(1, "good")).decode())
    wait_until(lambda: fleet.seqs() == [1])
    assert fleet.collector.nodes["odd"].report is not None
    assert len([key for key in fleet.store.coverages() if key[0] == "odd"]) <= MAX_JOURNALS
    assert fleet.store.nodes()


def test_lines_with_many_gaps_do_not_delay_the_stop(
    mosquitto: Mosquitto, listener: Listener, fleet_at: Callable[..., Fleet], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gap_tracker, "MAX_RANGES", 100)
    fleet = fleet_at(mosquitto)
    wait_until(lambda: not fleet.collector.failures)
    lines = [msgspec.json.encode(keys_of(seq, "odd")) for seq in range(1, 1800, 2)]
    listener.publish_all(f"soundwatch/odd/lines/{JOURNAL}", lines)
    listener.publish(f"soundwatch/good/lines/{JOURNAL}", msgspec.json.encode(keys_of(1, "good")).decode())
    wait_until(lambda: any(line.node == "good" for line in fleet.shown))
    assert fleet.collector.counts.lines == 100 + 1
    assert fleet.collector.counts.dropped == 900 - 100
    fleet.end()
