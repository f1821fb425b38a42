"""Status of nodes."""

from __future__ import annotations

from pathlib import Path

import msgspec

from soundwatch.daemon.fleet.node_json import NodeRecord, node_record
from soundwatch.daemon.fleet.node_status import NodeStatus, with_line, with_report, with_status
from soundwatch.daemon.sinks.mqtt.node_report import SourceReport
from support.fleet_harness import BEGIN_NS, line_of, report_of, status_of

SECOND_NS = 1_000_000_000


def online(**sources: SourceReport) -> NodeStatus:
    return with_report(with_status(NodeStatus("edge1"), status_of("online")), report_of(5, 5, sources=sources))


def test_a_connected_node_without_messages_is_silent() -> None:
    node = online()
    assert node.state(BEGIN_NS + 89 * SECOND_NS) == "online"
    assert node.state(BEGIN_NS + 91 * SECOND_NS) == "silent"
    assert list(node.problems(BEGIN_NS + 91 * SECOND_NS)) == ["It is connected to the broker and sends no reports."]


def test_a_disconnected_node_has_no_running_source() -> None:
    node = with_line(online(mic0=SourceReport(hearing="heard")), line_of(6))
    assert node_record(node, BEGIN_NS).active == ("siren at mic0",)
    node = with_status(node, status_of("offline"))
    assert (node_record(node, BEGIN_NS).active, node.state(BEGIN_NS)) == ((), "offline")
    assert list(node.problems(BEGIN_NS)) == ["It was killed, or its connection to the broker was lost."]


def test_a_machine_that_was_stopped_on_purpose_is_no_problem() -> None:
    node = with_status(online(mic0=SourceReport(hearing="ended")), status_of("stopped"))
    assert (node.state(BEGIN_NS), list(node.problems(BEGIN_NS))) == ("stopped", [])


def test_a_missing_or_poor_source_is_shown() -> None:
    lost = SourceReport(hearing="lost", detail="mic0 was unplugged.")
    node = online(mic0=lost, mic1=SourceReport(hearing="heard", coverage=0.9, faults=("dc_offset", "quiet")))
    assert list(node.problems(BEGIN_NS)) == [
        "mic0 delivers no sound: mic0 was unplugged.",
        "The sound of mic1 has faults: dc offset, quiet.",
    ]
    assert node.coverage() == 0.9


def test_a_clock_is_judged_by_the_report_that_took_least_on_its_way() -> None:
    node = NodeStatus("edge1")
    for way_ns in (400_000_000, 20_000_000, 900_000_000):
        node = with_report(node, report_of(1, 1, heard_unix_ns=BEGIN_NS - 5 * SECOND_NS + way_ns))
    assert node.skew_s == 4.98
    assert list(node.problems(BEGIN_NS)) == ["Its clock is 5.0 s ahead."]
    node = with_report(NodeStatus("edge1"), report_of(1, 1, heard_unix_ns=BEGIN_NS + 3 * SECOND_NS))
    assert list(node.problems(BEGIN_NS)) == ["Its clock is 3.0 s behind."]


def test_a_retained_report_does_not_update_the_clock() -> None:
    node = with_report(NodeStatus("edge1"), report_of(1, 1, heard_unix_ns=BEGIN_NS + 3600 * SECOND_NS, retained=True))
    assert node.skew_s is None


def test_an_event_is_active_until_its_end_or_a_report_without_it() -> None:
    node = with_line(online(), line_of(1))
    assert list(node.active) == ["E1"]
    assert list(with_line(node, line_of(2, id="E1", type="end")).active) == []
    assert list(
        with_report(node, report_of(9, 9, sources={"mic0": SourceReport(hearing="heard", active=("E1",))})).active
    ) == ["E1"]
    assert list(with_report(node, report_of(9, 9, sources={"mic0": SourceReport(hearing="heard")})).active) == []


def test_two_nodes_with_one_name_are_reported() -> None:
    node = NodeStatus("edge1")
    for journal in ("aa", "bb"):
        node = with_report(node, report_of(1, 1, journal=journal))
    assert not node.is_duplicated, "a machine may begin another journal"
    node = with_report(node, report_of(1, 1, journal="aa"))
    assert list(node.problems(BEGIN_NS)) == ["Two machines have this name; give each its own with `node`."]
    for minutes in (11, 12):
        node = with_report(node, report_of(1, 1, journal="aa", heard_unix_ns=BEGIN_NS + minutes * 60 * SECOND_NS))
    assert not node.is_duplicated, "one of them was given another name"


def test_events_without_an_end_do_not_fill_the_memory() -> None:
    node = NodeStatus("edge1")
    for seq in range(1, 1000):
        node = with_line(node, line_of(seq))
    assert len(node.active) == 200


def test_the_documented_node_has_the_printed_form() -> None:
    text = (Path(__file__).parents[3] / "docs" / "fleet.md").read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.startswith('{"schema":"soundwatch.fleet/1"'))
    assert msgspec.json.encode(msgspec.json.decode(line, type=NodeRecord)).decode() == line
