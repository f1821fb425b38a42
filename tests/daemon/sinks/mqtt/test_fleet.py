"""Messages of a node for a fleet, with a real Mosquitto."""

from __future__ import annotations

import json

import msgspec
import pytest

from soundwatch.daemon.sinks.mqtt.fleet import MAX_LINES
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport
from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.sink_harness import SinkHarness

REPORT = "soundwatch/edge1/report"
RESEND = "soundwatch/edge1/resend"


def lines_topic(harness: SinkHarness) -> str:
    return f"soundwatch/edge1/lines/{harness.journal_id}"


def test_every_line_is_published_under_its_journals_name(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1")
    harness.hello()
    harness.event("start")
    harness.pause()
    harness.wait_for(worker)
    payloads = wait_until(
        lambda: len(listener.payloads(lines_topic(harness))) == 3 and listener.events(lines_topic(harness))
    )
    assert [line["type"] for line in payloads] == ["hello", "start", "health"]
    assert listener.payloads(lines_topic(harness))[1] == harness.journal.read_after(1, 1)[0].line[:-1], "byte for byte"
    assert "event_type" in listener.events("soundwatch/edge1/mic0/event")[0], (
        "and Home Assistant gets what it always got"
    )


def test_a_node_sends_no_lines_to_a_fleet_by_default(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address}")
    harness.event("start")
    harness.wait_for(worker)
    listener.publish(RESEND, json.dumps({"journal": harness.journal_id, "after": 0, "up_to": 9}))
    harness.event("end")
    wait_until(lambda: len(listener.payloads("soundwatch/edge1/mic0/event")) == 2)
    assert not [topic for topic, *_ in listener.messages if "/lines/" in topic or topic == REPORT or "done" in topic]


def test_a_report_has_the_node_and_its_position(harness: SinkHarness, mosquitto: Mosquitto, listener: Listener) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    wait_until(lambda: listener.last(REPORT))
    first = msgspec.json.decode(listener.payloads(REPORT)[0], type=NodeReport)
    assert (first.last_seq, first.sent_seq, first.sources["mic0"].hearing) == (0, None, "opening")
    harness.hello()
    harness.event("start")
    harness.wait_for(worker)
    found = wait_until(
        lambda: (report := msgspec.json.decode(listener.last(REPORT) or b"", type=NodeReport)).sent_seq == 2 and report
    )
    assert (found.node, found.journal, found.model) == ("edge1", harness.journal_id, "double@sha256:abababababab")
    assert (found.sources["mic0"].hearing, found.sources["mic0"].active) == ("heard", ("A",))
    assert REPORT in retained_messages(mosquitto.port), "whoever comes later sees it too"


@pytest.mark.parametrize("topic", [RESEND, "soundwatch/edge1/again"], ids=["resend", "its former name"])
def test_lost_lines_are_sent_again_with_a_mark_and_then_the_reply(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener, topic: str
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address},fleet=1")
    for number in range(5):
        harness.event("start", f"E{number}")
    harness.wait_for(worker)
    wait_until(lambda: len(listener.payloads(lines_topic(harness))) == 5)
    asked = {"journal": harness.journal_id, "after": 1, "up_to": 3}
    listener.publish(topic, json.dumps(asked))
    wait_until(lambda: listener.last(f"{topic}/done"))
    again = listener.events(lines_topic(harness))[5:]
    assert [(line["seq"], line["repeated"]) for line in again] == [(2, True), (3, True)]
    assert listener.events(f"{topic}/done") == [asked | {"runs": [[2, 3]]}]


def test_one_request_gives_a_limited_number_of_lines(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    for number in range(MAX_LINES + 10):
        harness.event("start", f"E{number}")
    harness.journal.flush()
    harness.open(f"mqtt://{mosquitto.address},fleet=1")
    wait_until(lambda: listener.last("soundwatch/edge1/status") == b"online")

    def ask(after: int) -> None:
        listener.publish(RESEND, json.dumps({"journal": harness.journal_id, "after": after, "up_to": 10_000}))

    ask(0)
    wait_until(lambda: len(listener.payloads(f"{RESEND}/done")) == 1)
    assert listener.events(f"{RESEND}/done")[0]["up_to"] == len(listener.payloads(lines_topic(harness))) == MAX_LINES
    ask(MAX_LINES)
    wait_until(lambda: len(listener.payloads(f"{RESEND}/done")) == 2)
    assert listener.events(f"{RESEND}/done")[1]["up_to"] == 10_000, "there are no more"
    assert len(listener.payloads(lines_topic(harness))) == MAX_LINES + 10


def test_invalid_requests_are_logged_and_have_no_effect(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address},fleet=1")
    wait_until(lambda: listener.last("soundwatch/edge1/status") == b"online")
    wrong = (b"", b"{}", b'{"journal":"x","after":-1,"up_to":3}', b'{"journal":"x","after":0,"up_to":3,"y":1}')
    for payload in (*wrong, b'{"journal":"\xff"}', b'{"journal":' + b"[" * 5000):
        listener.publish(RESEND, payload)
    wait_until(lambda: len(harness.logged()) == 6)
    assert set(harness.logged()) == {"mqtt_message_ignored"}
    listener.publish(RESEND, '{"journal":"another","after":0,"up_to":3}')
    wait_until(lambda: listener.last(f"{RESEND}/done"), "an answer: it has no such lines")
    assert not listener.payloads(lines_topic(harness))
