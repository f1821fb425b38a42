"""The MQTT sink with a real Mosquitto that is killed, restarted and stopped."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import numpy as np
import pytest

from soundwatch.daemon.core.records.scores import WindowResult
from soundwatch.daemon.sinks.mqtt.connection import Broker, MqttConnection, MqttMessage
from support.level_factory import level_line
from support.mosquitto import Listener, Mosquitto, SlowBroker, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY, DOG, EVENT, OWNER, STATUS
from support.sink_harness import CLASSES, SinkHarness


def seqs(listener: Listener) -> list[int]:
    return [line["seq"] for line in listener.events(EVENT)]


def test_an_event_turns_its_class_on_and_off_and_its_lines_are_published(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DOG) == b"OFF")
    harness.event("start")
    wait_until(lambda: listener.last(DOG) == b"ON")
    harness.event("end")
    wait_until(lambda: len(listener.payloads(EVENT)) == 2)
    start, end = listener.events(EVENT)
    assert (start["event_type"], start["class"], end["event_type"], end["reason"]) == (
        "start",
        "dog_bark",
        "end",
        "decay",
    )
    assert "repeated" not in start
    assert listener.payloads(DOG) == [b"OFF", b"ON", b"OFF"], "each change is said once"


def test_states_are_kept_by_the_broker_and_events_are_not(harness: SinkHarness, mosquitto: Mosquitto) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address}")
    harness.hello()
    harness.event("start")
    harness.wait_for(worker)
    found = retained_messages(mosquitto.port)
    assert {topic: payload for topic, payload in found.items() if topic not in (DISCOVERY, OWNER)} == {
        STATUS: b"online",
        "soundwatch/edge1/mic0/status": b"heard",
        DOG: b"ON",
        "soundwatch/edge1/mic0/class/siren": b"OFF",
    }


def test_without_retain_the_broker_keeps_nothing(harness: SinkHarness, mosquitto: Mosquitto) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address},retain=0")
    harness.event("start")
    harness.wait_for(worker)
    assert retained_messages(mosquitto.port) == {}


@pytest.mark.slow
def test_a_broker_killed_during_an_event_gets_all_lines_and_the_present_state(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address}")
    harness.event("start", "A")
    wait_until(lambda: seqs(listener) == [1])
    mosquitto.kill()
    harness.event("end", "A")
    harness.event("start", "B", "siren")
    wait_until(lambda: worker.status.state == "failing")
    harness.event("end", "B", "siren")
    harness.event("start", "C")
    before = len(listener.messages)
    mosquitto.start()
    harness.wait_for(worker)
    listener.ready.wait(60)
    assert retained_messages(mosquitto.port)[DOG] == b"ON"
    since = [(topic, payload) for topic, payload, _ in listener.messages[before:]]
    assert (("soundwatch/edge1/mic0/class/siren", b"ON")) not in since, "what is over does not flicker"
    assert harness.logged().count("sink_failed") == 1
    assert harness.logged().count("mqtt_connected") == 1


@pytest.mark.slow
def test_lines_that_a_broker_may_have_received_are_sent_again_with_a_mark(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    worker = harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    mosquitto.kill()
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    mosquitto.start()
    assert listener.ready.wait(60) or True
    harness.wait_for(worker)
    harness.event("end")
    wait_until(lambda: listener.payloads(EVENT))
    lines = {line["seq"]: line for line in listener.events(EVENT)}
    assert lines.get(1, {"repeated": True})["repeated"]
    wait_until(lambda: 2 in {line["seq"] for line in listener.events(EVENT)})
    assert "repeated" not in {line["seq"]: line for line in listener.events(EVENT)}[2]


def test_a_system_without_a_thread_for_the_connection_delays_the_lines_only(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures, start = [True, True], threading.Thread.start

    def refuse_twice(thread: threading.Thread) -> None:
        if thread.name.startswith("paho-mqtt-client-soundwatch-edge1") and failures:
            failures.pop()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_twice)
    worker = harness.open(f"mqtt://{mosquitto.address}")
    harness.event("start")
    harness.wait_for(worker)
    assert (len(listener.payloads(EVENT)), failures) == (1, [])
    [reason] = [fields["reason"] for fields in harness.log.fields("mqtt_disconnected")]
    assert reason == "can't start new thread"


def test_a_sink_resumes_after_a_restart(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    path = tmp_path / "journal.db"
    first = SinkHarness(path)
    first.open(f"mqtt://{mosquitto.address}")
    first.event("start", "A")
    wait_until(lambda: seqs(listener) == [1])
    assert first.close() == {}
    assert listener.last(STATUS) == b"stopped"
    second = SinkHarness(path)
    second.event("end", "A")
    second.journal.flush()
    second.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: seqs(listener) == [1, 2])
    assert second.close() == {}


def test_a_message_to_set_pauses_and_resumes_unless_it_is_an_old_one(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    listener.publish("soundwatch/edge1/mic0/set", "OFF", retain=True)
    harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: "mqtt_message_ignored" in harness.logged())
    listener.publish("soundwatch/edge1/mic0/set", "OFF")
    listener.publish("soundwatch/edge1/other/set", "OFF")
    listener.publish("soundwatch/edge1/mic0/set", "maybe")
    listener.publish("soundwatch/edge1/mic0/set", "ON")
    wait_until(lambda: len(harness.switched) == 2)
    assert harness.switched == [("mic0", False), ("mic0", True)]
    assert harness.logged().count("mqtt_message_ignored") == 3


def test_the_level_is_published_once_for_each_reading(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address},level_s=0.01")
    values = np.zeros(2, np.float32)
    harness.live.publish(WindowResult("mic0", 1_000_000_000, CLASSES, values, -31.44, 0, 1, 1.0, 0.0))
    wait_until(lambda: len(listener.payloads("soundwatch/edge1/mic0/level")) == 1)
    harness.live.publish(WindowResult("mic0", 2_000_000_000, CLASSES, values, None, 0, 2, 2.0, 0.0))
    wait_until(lambda: len(listener.payloads("soundwatch/edge1/mic0/level")) == 2)
    assert listener.events("soundwatch/edge1/mic0/level") == [
        {"time": "1970-01-01T00:00:01.000Z", "level_dbfs": -31.4},
        {"time": "1970-01-01T00:00:02.000Z", "level_dbfs": None},
    ]


def test_the_level_has_the_sound_levels_of_a_source_that_is_metered(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address},level_s=0.01")
    harness.live.publish_level(level_line(61.5, calibrated=True))
    values = np.zeros(2, np.float32)
    harness.live.publish(WindowResult("mic0", 1_000_000_000, CLASSES, values, -31.44, 0, 1, 1.0, 0.0))
    wait_until(lambda: len(listener.payloads("soundwatch/edge1/mic0/level")) == 1)
    [level] = listener.events("soundwatch/edge1/mic0/level")
    assert (level["laeq_db"], level["lceq_db"], level["lafmax_db"]) == (61.5, 61.5, 61.5)
    assert (level["level_dbfs"], level["calibrated"]) == (-31.4, True)


@pytest.mark.slow
def test_a_broker_that_hangs_is_left_and_found_again(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.connection.ANSWER_S", 0.5)
    worker = harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    os.kill(mosquitto.pid, signal.SIGSTOP)
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    os.kill(mosquitto.pid, signal.SIGCONT)
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.connection.ANSWER_S", 20.0)
    harness.wait_for(worker)
    lines = wait_until(lambda: listener.events(EVENT))
    assert all(line.get("repeated") for line in lines[1:])
    assert retained_messages(mosquitto.port)[STATUS] == b"online"


@pytest.mark.slow
def test_a_slow_broker_has_its_time_for_each_message(mosquitto: Mosquitto, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.connection.ANSWER_S", 2.0)
    slow = SlowBroker(mosquitto.port, pause_s=0.05)
    host, _, port = slow.address.partition(":")
    connection = MqttConnection(Broker(host, int(port), None, None, None), "slow", None)
    connection.publish([MqttMessage("slow", b"a line")] * 60)  # 3 s
    connection.close()
    slow.close()
