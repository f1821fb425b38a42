"""Machines that share a name, or succeed each other, on one broker."""

from __future__ import annotations

from pathlib import Path

from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY, DOG, EVENT, OWNER, STATUS
from support.sink_harness import SinkHarness


def test_a_second_machine_of_a_name_waits_and_changes_nothing(mosquitto: Mosquitto, listener: Listener) -> None:
    first, second = SinkHarness(), SinkHarness(classes=("siren",))
    worker = first.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    before = retained_messages(mosquitto.port)
    refused = second.open(f"mqtt://{mosquitto.address}")
    second.event("start")
    wait_until(lambda: "give each machine a `node` of its own" in (refused.status.reason or ""))
    first.event("start")
    first.wait_for(worker)
    assert retained_messages(mosquitto.port) == before | {DOG: b"ON"}
    assert first.log.events.count("mqtt_name_claimed_by_other") == 1
    assert "mqtt_disconnected" not in first.log.events
    assert [line["seq"] for line in listener.events(EVENT)] == [1]
    first.close()
    second.wait_for(refused)
    assert DOG in retained_messages(mosquitto.port), (
        "a class of the first machine, which the second one must not remove"
    )
    second.close()


def test_a_copied_memory_card_is_a_copy_of_this_machine_until_it_has_a_name_of_its_own(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    first = SinkHarness(tmp_path / "first.db")
    first.event("start")
    first.journal.flush()
    first.journal.store.transaction(lambda db: db.execute("VACUUM INTO ?", (str(tmp_path / "second.db"),)))
    worker = first.open(f"mqtt://{mosquitto.address},fleet=1")
    wait_until(lambda: listener.last(STATUS) == b"online")
    second = SinkHarness(tmp_path / "second.db")
    assert second.journal_id == first.journal_id
    refused = second.open(f"mqtt://{mosquitto.address},fleet=1")
    second.event("start")
    wait_until(lambda: "a copy of this machine with the name edge1" in (refused.status.reason or ""))
    second.close()
    renamed = SinkHarness(tmp_path / "second.db", node="edge2")
    other = renamed.open(f"mqtt://{mosquitto.address},fleet=1")
    renamed.event("start")
    renamed.wait_for(other)
    first.event("start")
    first.wait_for(worker)
    topics = {f"soundwatch/{node}/lines/{first.journal_id}" for node in ("edge1", "edge2")}
    wait_until(lambda: all(listener.payloads(topic) for topic in topics))
    for harness in (first, renamed):
        harness.close()


def test_a_machine_that_is_killed_leaves_its_name_to_its_successor(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    before = SinkHarness(tmp_path / "journal.db")
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: retained_messages(mosquitto.port).get(STATUS) == b"online")
    before.close()
    listener.publish(
        STATUS, "online", retain=True
    )  # as a broker keeps it that lost its power together with the machine
    another = SinkHarness()
    worker = another.open(f"mqtt://{mosquitto.address}")
    another.event("start")
    another.wait_for(worker)
    assert worker.status.state == "working"
    another.close()


def test_a_late_will_of_an_earlier_connection_is_corrected(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    listener.publish(STATUS, "offline", retain=True)
    wait_until(lambda: listener.payloads(STATUS)[-2:] == [b"offline", b"online"])


def test_malformed_messages_that_a_broker_keeps_under_a_name_stop_nothing(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    listener.publish(OWNER, b'{"journal":"\xff","boot":"a"}', retain=True)
    listener.publish(DISCOVERY, b'{"components":{"\xff":' + b"[" * 5000, retain=True)
    worker = harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: retained_messages(mosquitto.port).get(STATUS) == b"online")
    listener.publish(OWNER, b'{"journal":"a","boot":"b","x":' + b"[" * 5000)
    harness.event("start")
    harness.wait_for(worker)
    assert "mqtt_disconnected" not in harness.log.events
