"""The MQTT sink's messages of discovery, and the removal of entities that no longer exist."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY, DOG, OWNER, STATUS
from support.sink_harness import SinkHarness


def test_retained_topics_of_removed_sources_and_classes_are_cleared(mosquitto: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    before = SinkHarness(path, sources=("mic0", "yard"))
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: "soundwatch/edge1/yard/class/siren" in retained_messages(mosquitto.port))
    before.close()
    assert len(json.loads(retained_messages(mosquitto.port)[DISCOVERY])["components"]) == 1 + 2 * 5
    now = SinkHarness(path, classes=("dog_bark",))
    now.open(f"mqtt://{mosquitto.address}")
    wanted = {STATUS, OWNER, DISCOVERY, "soundwatch/edge1/mic0/status", DOG}
    wait_until(lambda: set(retained_messages(mosquitto.port)) == wanted)
    wait_until(lambda: len(json.loads(retained_messages(mosquitto.port)[DISCOVERY])["components"]) == 1 + 4)
    now.close()


def test_removed_entities_are_sent_before_the_present_ones(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    before = SinkHarness(path)
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.payloads(DISCOVERY))
    before.close()
    now = SinkHarness(path, classes=("dog_bark",))
    now.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: len(listener.payloads(DISCOVERY)) == 4)
    _, anew, removing, last = (json.loads(payload)["components"] for payload in listener.payloads(DISCOVERY))
    assert removing == anew | {"mic0_class_siren": {"platform": "binary_sensor"}}
    assert last == anew
    now.close()


@pytest.mark.slow
def test_a_disabled_class_is_removed_immediately(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last("soundwatch/edge1/mic0/class/siren") == b"OFF")
    harness.classes = ("dog_bark",)  # as after a SIGHUP
    harness.event("start")
    wait_until(lambda: listener.last("soundwatch/edge1/mic0/class/siren") == b"")
    wait_until(lambda: "mic0_class_siren" not in json.loads(listener.last(DISCOVERY) or b"{}")["components"])
    assert json.loads(listener.payloads(DISCOVERY)[-2])["components"]["mic0_class_siren"] == {
        "platform": "binary_sensor"
    }


def test_discovery_is_sent_again_when_home_assistant_starts(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    harness.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DOG) == b"OFF")
    listener.publish("homeassistant/status", "online")
    wait_until(lambda: len(listener.payloads(DISCOVERY)) == 2)
    wait_until(lambda: listener.payloads(DOG) == [b"OFF", b"OFF"])


def test_without_discovery_the_earlier_entities_are_removed(mosquitto: Mosquitto, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    before = SinkHarness(path)
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: DISCOVERY in retained_messages(mosquitto.port))
    before.close()
    now = SinkHarness(path)
    now.open(f"mqtt://{mosquitto.address},discovery=0")
    wait_until(lambda: DISCOVERY not in retained_messages(mosquitto.port))
    now.close()
