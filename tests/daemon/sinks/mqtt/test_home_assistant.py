"""Discovery for Home Assistant, validated with its schemas if it is installed, and with its documentation."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from soundwatch.daemon.sinks.daemon_view import ControlState, ScheduleState
from soundwatch.daemon.sinks.mqtt.home_assistant import (
    Device,
    device_id,
    discovery_payload,
    discovery_topic,
    removal_payload,
)

SCHEMAS = Path(__file__).resolve().parents[3] / "support" / "home_assistant_schemas.py"
CLASSES = ("dog_bark", "siren")


def test_a_machine_is_a_device_with_entities_for_each_class_and_source() -> None:
    payload = json.loads(discovery_payload(Device("edge1", ["mic0"], CLASSES, 10.0)))
    assert payload["device"]["identifiers"] == ["soundwatch_edge1"]
    assert {key: component["platform"] for key, component in payload["components"].items()} == {
        "running": "binary_sensor",
        "mic0_class_dog_bark": "binary_sensor",
        "mic0_class_siren": "binary_sensor",
        "mic0_event": "event",
        "mic0_listening": "switch",
        "mic0_level": "sensor",
    }
    dog = payload["components"]["mic0_class_dog_bark"]
    assert dog["device_class"] == "sound"
    assert dog["state_topic"] == "soundwatch/edge1/mic0/class/dog_bark"
    assert dog["unique_id"] == "soundwatch_edge1_mic0_class_dog_bark"
    assert [item["topic"] for item in dog["availability"]] == [
        "soundwatch/edge1/status",
        "soundwatch/edge1/mic0/status",
    ]


def test_without_levels_there_is_no_sensor_of_them() -> None:
    assert "mic0_level" not in json.loads(discovery_payload(Device("edge1", ["mic0"], CLASSES, 0.0)))["components"]


@pytest.mark.parametrize(
    ("calibrated", "device_class", "name"),
    [(True, "sound_pressure", "mic0 LAeq"), (False, None, "mic0 LAeq (uncalibrated)")],
)
def test_sound_levels_are_sound_pressure_only_where_they_are_calibrated(
    calibrated: bool, device_class: str | None, name: str
) -> None:
    device = Device("edge1", ["mic0"], CLASSES, 10.0, {"mic0": calibrated})
    components = json.loads(discovery_payload(device))["components"]
    laeq = components["mic0_laeq"]
    assert (laeq.get("device_class"), laeq["name"], laeq["state_class"]) == (device_class, name, "measurement")
    assert laeq["unit_of_measurement"] == ("dBA" if calibrated else "dB")
    assert laeq["state_topic"] == components["mic0_level"]["state_topic"]
    assert components["mic0_lceq"]["unit_of_measurement"] == "dB"
    assert len({component["unique_id"] for component in components.values()}) == len(components)


def test_names_that_no_topic_could_have_are_kept_apart() -> None:
    assert device_id("a b") != device_id("a_b")
    assert discovery_topic("Küche").isascii()


def test_no_entity_is_removed_with_an_equal_or_missing_description() -> None:
    now = discovery_payload(Device("edge1", ["mic0"], CLASSES, 10.0))
    assert removal_payload(now, now) is None
    for broken in (b"", b"[]", b"{}", b'{"components": 3}', b'{"components": {"x": 3}}', b'{"\xff": 0}', b"[" * 5000):
        assert removal_payload(broken, now) is None


def test_home_assistant_accepts_the_discovery() -> None:
    python = os.environ.get("HOME_ASSISTANT_PYTHON")
    if python is None:
        pytest.skip("HOME_ASSISTANT_PYTHON names no Python with the package homeassistant")
    control = ControlState({"mic0": 0.0, "USB PnP": 0.1}, {"night": ScheduleState(enabled=True, active=False)})
    payload = discovery_payload(
        Device("edge 1", ["mic0", "USB PnP"], CLASSES, 10.0, control=control, clips=True, pictures=True)
    )
    done = subprocess.run([python, SCHEMAS], input=payload, capture_output=True, check=False)
    assert done.stdout.strip() == b"19", done.stderr.decode()


def test_home_assistant_accepts_the_blueprints() -> None:
    python = os.environ.get("HOME_ASSISTANT_PYTHON")
    if python is None:
        pytest.skip("HOME_ASSISTANT_PYTHON names no Python with the package homeassistant")
    found = sorted((SCHEMAS.parents[2] / "home-assistant" / "blueprints").glob("*.yaml"))
    assert len(found) == 2
    done = subprocess.run(
        [python, SCHEMAS.with_name("home_assistant_blueprints.py"), *found], capture_output=True, check=False
    )
    assert done.stdout.split() == [path.stem.encode() for path in found], done.stderr.decode()


def test_names_of_entities_are_in_the_language_of_the_place_and_their_ids_are_not() -> None:
    german, english = (
        json.loads(discovery_payload(Device("edge1", ["mic0"], ("dog_bark",), 10.0, language=language)))["components"]
        for language in ("de", "en")
    )
    names = {key: component["name"] for key, component in german.items()}
    assert names["mic0_class_dog_bark"] == "mic0 Hundegebell"
    assert (names["running"], names["mic0_level"], names["mic0_event"]) == ("Läuft", "mic0 Pegel", "mic0 Geräusche")
    for id_ in ("unique_id", "default_entity_id"):
        assert {key: german[key][id_] for key in german} == {key: english[key][id_] for key in english}


def test_an_entity_has_the_id_that_the_documented_automations_name() -> None:
    device = Device("balcony", ["street"], CLASSES, 10.0, language="de", clips=True, pictures=True)
    ids = {component["default_entity_id"] for component in json.loads(discovery_payload(device))["components"].values()}
    page = (SCHEMAS.parents[2] / "docs" / "home-assistant.md").read_text(encoding="utf-8")
    named = set(re.findall(r"\b(?:event|binary_sensor|sensor|image)\.soundwatch_balcony_\w+", page))
    assert len(named) == 4
    assert named <= ids
