"""Offsets of thresholds and schedules by a real Mosquitto, and their entities in Home Assistant."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.app.control import SourceControl
from soundwatch.daemon.app.control_actions import ControlActions
from soundwatch.daemon.app.reload import RunConfig
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.config.place import TimeWindow
from soundwatch.daemon.config.schedule import ScheduleConfig, ScheduleEffectConfig, ThresholdsConfig
from soundwatch.daemon.config.source import SourceConfig
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.sinks.daemon_view import ControlState, ScheduleState
from soundwatch.daemon.sinks.mqtt.commands import carry_out_command
from soundwatch.daemon.sinks.mqtt.connection import MqttMessage
from soundwatch.daemon.sinks.mqtt.home_assistant import Device, discovery_payload
from soundwatch.daemon.sinks.mqtt.topics import Topics
from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY
from support.sink_harness import SinkHarness

BASE = "soundwatch/edge1"
OFFSET = f"{BASE}/mic0/threshold_offset"
NIGHT = f"{BASE}/schedules/night/enabled"
ACTIVE = f"{BASE}/schedules/night/active"
ALWAYS = ScheduleConfig(when=(TimeWindow(),), then=ScheduleEffectConfig(thresholds=ThresholdsConfig(at_least=0.9)))
CONFIG = Config(sources={"mic0": SourceConfig()}, schedules={"night": ALWAYS})


@pytest.fixture
def site(harness: SinkHarness) -> Iterator[SinkHarness]:
    """Yield a harness whose offsets and schedules can be changed."""
    actions = ControlActions(lambda *_, **__: None, lambda _: None, harness.journal.append, harness.node)
    control = SourceControl(actions, harness.log, threading.RLock())
    control.configure(RunConfig(CONFIG, CONFIG.sources))
    harness.view = replace(harness.view, control=control, config=lambda: CONFIG)
    yield harness
    control.close()


def test_an_offset_and_a_schedule_are_changed_and_their_states_are_retained(
    site: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    site.open(f"mqtt://{mosquitto.address},commands=1")
    wait_until(lambda: (listener.last(OFFSET), listener.last(NIGHT), listener.last(ACTIVE)) == (b"0", b"ON", b"ON"))
    listener.publish(f"{OFFSET}/set", "0.05")
    wait_until(lambda: listener.last(OFFSET) == b"0.05")
    listener.publish(f"{NIGHT}/set", "OFF")
    wait_until(lambda: (listener.last(NIGHT), listener.last(ACTIVE)) == (b"OFF", b"OFF"))
    retained = retained_messages(mosquitto.port)
    assert (retained[OFFSET], retained[NIGHT], retained[ACTIVE]) == (b"0.05", b"OFF", b"OFF")
    assert site.view.control is not None
    assert site.view.control.state() == ControlState({"mic0": 0.05}, {"night": ScheduleState(False, False)})


def test_a_locked_schedule_ignores_commands_with_its_reason(site: SinkHarness) -> None:
    locked = ScheduleConfig(when=(TimeWindow(),), then=ScheduleEffectConfig(pause="locked"))
    config = msgspec.structs.replace(CONFIG, schedules={"night": locked})
    control = SourceControl(
        ControlActions(lambda *_, **__: None, lambda _: None, site.journal.append, site.node),
        site.log,
        threading.RLock(),
    )
    control.configure(RunConfig(config, config.sources))
    view = replace(site.view, control=control, set_listening=control.set_listening)
    answers = [
        carry_out_command(MqttMessage(f"{topic}/set", payload), Topics(site.node), view, commands=True)
        for topic, payload in ((f"{BASE}/mic0", b"ON"), (NIGHT, b"OFF"), (f"{BASE}/mic0", b"OFF"))
    ]
    assert answers == [
        "The schedule night pauses mic0 and is locked; it is resumed when night ends.",
        "The schedule night is locked; only the file disables it.",
        None,
    ]


def test_a_wrong_command_changes_nothing_and_is_logged_with_what_was_expected(
    site: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    site.open(f"mqtt://{mosquitto.address},commands=1")
    wait_until(lambda: listener.last(OFFSET) == b"0")
    wrong: list[str | bytes] = ["", "loud", "nan", "inf", "0.51", "-1", "0,1", "{}", b"\xff"]
    for payload in wrong:
        listener.publish(f"{OFFSET}/set", payload)
    for topic, payload in ((NIGHT, "maybe"), (NIGHT, "on"), (f"{BASE}/schedules/day/enabled", "OFF"), ("x", "")):
        listener.publish(f"{topic}/set", payload)
    listener.publish(f"{BASE}/other/threshold_offset/set", "0.1")
    listener.publish(f"{OFFSET}/set", "0.01")
    wait_until(lambda: listener.last(OFFSET) == b"0.01")
    reasons = [fields["reason"] for fields in site.log.fields("mqtt_message_ignored")]
    assert reasons.count("a number from -0.5 to 0.5 was expected") == len(wrong)
    assert len(reasons) == len(wrong) + 4
    assert listener.payloads(OFFSET) == [b"0", b"0.01"]
    assert listener.payloads(NIGHT) == [b"ON"]


def test_a_retained_command_is_not_carried_out_at_the_next_connection(
    site: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    listener.publish(f"{OFFSET}/set", "0.3", retain=True)
    listener.publish(f"{NIGHT}/set", "OFF", retain=True)
    site.open(f"mqtt://{mosquitto.address},commands=1")
    wait_until(lambda: site.logged().count("mqtt_message_ignored") == 2)
    assert (listener.payloads(OFFSET), listener.payloads(NIGHT)) == ([b"0"], [b"ON"])


def test_states_are_published_again_after_a_restart_of_the_broker(
    site: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    site.open(f"mqtt://{mosquitto.address},commands=1")
    wait_until(lambda: listener.last(OFFSET) == b"0")
    listener.publish(f"{OFFSET}/set", "-0.1")
    wait_until(lambda: listener.last(OFFSET) == b"-0.1")
    mosquitto.kill()
    mosquitto.start()
    wait_until(lambda: listener.payloads(OFFSET).count(b"-0.1") > 1)


def test_without_the_option_there_are_no_topics_entities_or_commands(
    site: SinkHarness, mosquitto: Mosquitto, listener: Listener
) -> None:
    site.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DISCOVERY) is not None)
    listener.publish(f"{OFFSET}/set", "0.1")
    listener.publish(f"{BASE}/mic0/set", "maybe")
    wait_until(lambda: "mqtt_message_ignored" in site.logged())
    assert (listener.last(OFFSET), listener.last(NIGHT)) == (None, None)
    components = json.loads(listener.last(DISCOVERY) or b"")["components"]
    assert {component["platform"] for component in components.values()} == {
        *("binary_sensor", "event", "sensor", "switch"),
    }
    assert site.view.control is not None
    assert site.view.control.state().offsets == {"mic0": 0.0}


def test_topics_of_removed_schedules_and_sources_are_cleared(
    tmp_path: Path, mosquitto: Mosquitto, listener: Listener
) -> None:
    path = tmp_path / "journal.db"
    before = SinkHarness(path)
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DISCOVERY) is not None)
    before.close()
    listener.publish(f"{BASE}/schedules/old/enabled", "ON", retain=True)
    listener.publish(f"{BASE}/old/threshold_offset", "0.1", retain=True)
    now = SinkHarness(path)
    now.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: not {topic for topic in retained_messages(mosquitto.port) if "/old/" in topic})
    now.close()


def test_offsets_and_schedules_are_entities_with_commands_that_the_sink_reads() -> None:
    control = ControlState({"mic0": 0.0}, {"night": ScheduleState(enabled=True, active=False)})
    device = Device("edge1", ["mic0"], ("siren",), 0.0, control=control)
    components = json.loads(discovery_payload(device))["components"]
    number, switch = components["mic0_threshold_offset"], components["schedule_night"]
    assert (number["platform"], number["command_topic"], number["state_topic"]) == ("number", f"{OFFSET}/set", OFFSET)
    assert (number["min"], number["max"], number["step"]) == (-0.5, 0.5, 0.01)
    assert (switch["platform"], switch["command_topic"], switch["state_topic"]) == ("switch", f"{NIGHT}/set", NIGHT)
    assert components["schedule_night_active"]["state_topic"] == ACTIVE
    assert len({component["unique_id"] for component in components.values()}) == len(components)
    for component in (number, switch, components["schedule_night_active"]):
        assert component["availability"][0]["topic"] == f"{BASE}/status"


def test_names_that_would_share_topics_are_refused(site: SinkHarness) -> None:
    both = msgspec.structs.replace(CONFIG, schedules={"a b": ALWAYS, "a_b": ALWAYS})
    site.view = replace(site.view, config=lambda: both)
    with pytest.raises(ConfigError, match="The schedules a b and a_b would share MQTT topics"):
        site.prepare("mqtt://127.0.0.1,commands=1")
    named = SinkHarness(sources=("schedules",))
    with pytest.raises(ConfigError, match="sources or the word schedules and schedules would share"):
        named.prepare("mqtt://127.0.0.1,commands=1")
    named.close()
