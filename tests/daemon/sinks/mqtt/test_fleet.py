"""What a machine tells a fleet, with a real Mosquitto."""

from __future__ import annotations

import json

import msgspec

from soundwatch.daemon.sinks.mqtt.fleet import MOST_LINES
from soundwatch.daemon.sinks.mqtt.node_report import NodeReport
from support.mosquitto import Listener, Mosquitto, kept, wait_until
from support.sink_harness import Room

REPORT = "soundwatch/edge1/report"
AGAIN = "soundwatch/edge1/again"


def lines_topic(room: Room) -> str:
    return f"soundwatch/edge1/lines/{room.around.journal}"


def test_every_line_is_published_under_its_journals_name(room: Room, mosquitto: Mosquitto, listener: Listener) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address},fleet=1")
    room.hello()
    room.event("start")
    room.pause()
    room.wait_for(outlet)
    said = wait_until(lambda: len(listener.said(lines_topic(room))) == 3 and listener.events(lines_topic(room)))
    assert [line["type"] for line in said] == ["hello", "start", "health"]
    assert listener.said(lines_topic(room))[1] == room.journal.after(1, 1)[0].line[:-1], "byte for byte"
    assert "event_type" in listener.events("soundwatch/edge1/mic0/event")[0], (
        "and Home Assistant gets what it always got"
    )


def test_without_being_asked_a_machine_tells_a_fleet_nothing(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address}")
    room.event("start")
    room.wait_for(outlet)
    listener.say(AGAIN, json.dumps({"journal": room.around.journal, "after": 0, "up_to": 9}))
    room.event("end")
    wait_until(lambda: len(listener.said("soundwatch/edge1/mic0/event")) == 2)
    assert not [topic for topic, *_ in listener.messages if "/lines/" in topic or topic == REPORT or "done" in topic]


def test_a_report_says_who_it_is_and_how_far_it_has_come(room: Room, mosquitto: Mosquitto, listener: Listener) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address},fleet=1,report_s=0.2")
    wait_until(lambda: listener.last(REPORT))
    first = msgspec.json.decode(listener.said(REPORT)[0], type=NodeReport)
    assert (first.last_seq, first.sent_seq, first.sources["mic0"].hearing) == (0, None, "opening")
    room.hello()
    room.event("start")
    room.wait_for(outlet)
    found = wait_until(
        lambda: (report := msgspec.json.decode(listener.last(REPORT) or b"", type=NodeReport)).sent_seq == 2 and report
    )
    assert (found.node, found.journal, found.model) == ("edge1", room.around.journal, "double@sha256:abababababab")
    assert (found.sources["mic0"].hearing, found.sources["mic0"].active) == ("heard", ("A",))
    assert REPORT in kept(mosquitto.port), "whoever comes later sees it too"


def test_lines_that_got_lost_come_again_marked_and_then_what_has_been_answered(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address},fleet=1")
    for number in range(5):
        room.event("start", f"E{number}")
    room.wait_for(outlet)
    wait_until(lambda: len(listener.said(lines_topic(room))) == 5)
    asked = {"journal": room.around.journal, "after": 1, "up_to": 3}
    listener.say(AGAIN, json.dumps(asked))
    wait_until(lambda: listener.last(f"{AGAIN}/done"))
    again = listener.events(lines_topic(room))[5:]
    assert [(line["seq"], line["repeated"]) for line in again] == [(2, True), (3, True)]
    assert listener.events(f"{AGAIN}/done") == [asked | {"runs": [[2, 3]]}]


def test_one_request_is_answered_with_so_many_lines_at_most(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    for number in range(MOST_LINES + 10):
        room.event("start", f"E{number}")
    room.journal.flush()
    room.open(f"mqtt://{mosquitto.address},fleet=1")
    wait_until(lambda: listener.last("soundwatch/edge1/status") == b"online")

    def ask(after: int) -> None:
        listener.say(AGAIN, json.dumps({"journal": room.around.journal, "after": after, "up_to": 10_000}))

    ask(0)
    wait_until(lambda: len(listener.said(f"{AGAIN}/done")) == 1)
    assert listener.events(f"{AGAIN}/done")[0]["up_to"] == len(listener.said(lines_topic(room))) == MOST_LINES
    ask(MOST_LINES)
    wait_until(lambda: len(listener.said(f"{AGAIN}/done")) == 2)
    assert listener.events(f"{AGAIN}/done")[1]["up_to"] == 10_000, "there are no more"
    assert len(listener.said(lines_topic(room))) == MOST_LINES + 10


def test_requests_that_are_none_are_told_and_change_nothing(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    room.open(f"mqtt://{mosquitto.address},fleet=1")
    wait_until(lambda: listener.last("soundwatch/edge1/status") == b"online")
    wrong = (b"", b"{}", b'{"journal":"x","after":-1,"up_to":3}', b'{"journal":"x","after":0,"up_to":3,"y":1}')
    for payload in (*wrong, b'{"journal":"\xff"}', b'{"journal":' + b"[" * 5000):
        listener.say(AGAIN, payload)
    wait_until(lambda: len(room.sentences()) == 6)
    assert set(room.sentences()) == {"an MQTT message was not obeyed"}
    listener.say(AGAIN, '{"journal":"another","after":0,"up_to":3}')
    wait_until(lambda: listener.last(f"{AGAIN}/done"), "an answer: it has no such lines")
    assert not listener.said(lines_topic(room))
