"""The MQTT sink with a real Mosquitto that is killed, restarted, locked and encrypted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.types import WindowResult
from support.mosquitto import Listener, Mosquitto, kept, wait_until
from support.ports import free_port
from support.sink_harness import CLASSES, Room

DOG = "soundwatch/edge1/mic0/class/dog_bark"
EVENT = "soundwatch/edge1/mic0/event"
STATUS = "soundwatch/edge1/status"
DISCOVERY = "homeassistant/device/soundwatch_edge1/config"


def seqs(listener: Listener) -> list[int]:
    return [line["seq"] for line in listener.events(EVENT)]


def test_an_event_turns_its_class_on_and_off_and_its_lines_are_published(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DOG) == b"OFF")
    room.event("start")
    wait_until(lambda: listener.last(DOG) == b"ON")
    room.event("end")
    wait_until(lambda: len(listener.said(EVENT)) == 2)
    start, end = listener.events(EVENT)
    assert (start["event_type"], start["class"], end["event_type"], end["reason"]) == (
        "start",
        "dog_bark",
        "end",
        "decay",
    )
    assert "repeated" not in start
    assert listener.said(DOG) == [b"OFF", b"ON", b"OFF"], "each change is said once"


def test_states_are_kept_by_the_broker_and_events_are_not(room: Room, mosquitto: Mosquitto) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address}")
    room.hello()
    room.event("start")
    room.wait_for(outlet)
    found = kept(mosquitto.port)
    assert {topic: payload for topic, payload in found.items() if topic != DISCOVERY} == {
        STATUS: b"online",
        "soundwatch/edge1/mic0/status": b"heard",
        DOG: b"ON",
        "soundwatch/edge1/mic0/class/siren": b"OFF",
    }


def test_without_retain_the_broker_keeps_nothing(room: Room, mosquitto: Mosquitto) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address},retain=0")
    room.event("start")
    room.wait_for(outlet)
    assert kept(mosquitto.port) == {}


@pytest.mark.slow
def test_a_broker_that_is_killed_mid_event_gets_all_lines_and_the_state_as_it_is(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address}")
    room.event("start", "A")
    wait_until(lambda: seqs(listener) == [1])
    mosquitto.kill()
    room.event("end", "A")
    room.event("start", "B", "siren")
    wait_until(lambda: outlet.state.state == "failing")
    room.event("end", "B", "siren")
    room.event("start", "C")
    before = len(listener.messages)
    mosquitto.start()
    room.wait_for(outlet)
    listener.ready.wait(60)
    assert kept(mosquitto.port)[DOG] == b"ON"
    since = [(topic, payload) for topic, payload, _ in listener.messages[before:]]
    assert (("soundwatch/edge1/mic0/class/siren", b"ON")) not in since, "what is over does not flicker"
    assert room.sentences().count("a sink is failing; its lines are kept for it") == 1
    assert room.sentences().count("connected to the broker again") == 1


@pytest.mark.slow
def test_what_a_broker_may_have_had_is_given_again_and_marked(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    outlet = room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    mosquitto.kill()
    room.event("start")
    wait_until(lambda: outlet.state.state == "failing")
    mosquitto.start()
    assert listener.ready.wait(60) or True
    room.wait_for(outlet)
    room.event("end")
    wait_until(lambda: listener.said(EVENT))
    lines = {line["seq"]: line for line in listener.events(EVENT)}
    assert lines.get(1, {"repeated": True})["repeated"]
    wait_until(lambda: 2 in {line["seq"] for line in listener.events(EVENT)})
    assert "repeated" not in {line["seq"]: line for line in listener.events(EVENT)}[2]


def test_a_sink_goes_on_after_a_restart_where_it_was(tmp_path: Path, mosquitto: Mosquitto, listener: Listener) -> None:
    path = tmp_path / "journal.db"
    first = Room(path)
    first.open(f"mqtt://{mosquitto.address}")
    first.event("start", "A")
    wait_until(lambda: seqs(listener) == [1])
    assert first.close() == {}
    assert listener.last(STATUS) == b"stopped"
    second = Room(path)
    second.event("end", "A")
    second.journal.flush()
    second.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: seqs(listener) == [1, 2])
    assert second.close() == {}


def test_a_message_to_set_pauses_and_resumes_unless_it_is_an_old_one(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    listener.say("soundwatch/edge1/mic0/set", "OFF", retain=True)
    room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: "an MQTT message was not obeyed" in room.sentences())
    listener.say("soundwatch/edge1/mic0/set", "OFF")
    listener.say("soundwatch/edge1/other/set", "OFF")
    listener.say("soundwatch/edge1/mic0/set", "maybe")
    listener.say("soundwatch/edge1/mic0/set", "ON")
    wait_until(lambda: len(room.switched) == 2)
    assert room.switched == [("mic0", False), ("mic0", True)]
    assert room.sentences().count("an MQTT message was not obeyed") == 3


def test_what_the_broker_keeps_of_sources_and_classes_that_are_no_more_is_emptied(mosquitto: Mosquitto) -> None:
    before = Room(sources=("mic0", "yard"))
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: "soundwatch/edge1/yard/class/siren" in kept(mosquitto.port))
    before.close()
    assert len(json.loads(kept(mosquitto.port)[DISCOVERY])["components"]) == 1 + 2 * 5
    now = Room(classes=("dog_bark",))
    now.open(f"mqtt://{mosquitto.address}")
    wanted = {STATUS, DISCOVERY, "soundwatch/edge1/mic0/status", DOG}
    wait_until(lambda: set(kept(mosquitto.port)) == wanted)
    wait_until(lambda: len(json.loads(kept(mosquitto.port)[DISCOVERY])["components"]) == 1 + 4)
    now.close()


def test_home_assistant_is_told_which_entities_are_no_more_and_then_of_the_rest(
    mosquitto: Mosquitto, listener: Listener
) -> None:
    before = Room()
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.said(DISCOVERY))
    before.close()
    now = Room(classes=("dog_bark",))
    now.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: len(listener.said(DISCOVERY)) == 4)
    _, anew, removing, last = (json.loads(payload)["components"] for payload in listener.said(DISCOVERY))
    assert removing == anew | {"mic0_class_siren": {"platform": "binary_sensor"}}
    assert last == anew
    now.close()


@pytest.mark.slow
def test_a_class_that_is_not_listened_for_any_more_is_removed_at_once(
    room: Room, mosquitto: Mosquitto, listener: Listener
) -> None:
    room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last("soundwatch/edge1/mic0/class/siren") == b"OFF")
    room.classes = ("dog_bark",)  # as after a SIGHUP
    room.event("start")
    wait_until(lambda: listener.last("soundwatch/edge1/mic0/class/siren") == b"")
    wait_until(lambda: "mic0_class_siren" not in json.loads(listener.last(DISCOVERY) or b"{}")["components"])
    assert json.loads(listener.said(DISCOVERY)[-2])["components"]["mic0_class_siren"] == {"platform": "binary_sensor"}


def test_home_assistant_is_told_again_when_it_starts(room: Room, mosquitto: Mosquitto, listener: Listener) -> None:
    room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(DOG) == b"OFF")
    listener.say("homeassistant/status", "online")
    wait_until(lambda: len(listener.said(DISCOVERY)) == 2)
    wait_until(lambda: listener.said(DOG) == [b"OFF", b"OFF"])


def test_without_discovery_what_home_assistant_was_told_before_is_emptied(mosquitto: Mosquitto) -> None:
    before = Room()
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: DISCOVERY in kept(mosquitto.port))
    before.close()
    now = Room()
    now.open(f"mqtt://{mosquitto.address},discovery=0")
    wait_until(lambda: DISCOVERY not in kept(mosquitto.port))
    now.close()


def test_the_level_is_published_once_for_each_reading(room: Room, mosquitto: Mosquitto, listener: Listener) -> None:
    room.open(f"mqtt://{mosquitto.address},level_s=0.01")
    values = np.zeros(2, np.float32)
    room.live.publish(WindowResult("mic0", 1_000_000_000, CLASSES, values, -31.44, 0, 1, 1.0, 0.0))
    wait_until(lambda: len(listener.said("soundwatch/edge1/mic0/level")) == 1)
    room.live.publish(WindowResult("mic0", 2_000_000_000, CLASSES, values, None, 0, 2, 2.0, 0.0))
    wait_until(lambda: len(listener.said("soundwatch/edge1/mic0/level")) == 2)
    assert listener.events("soundwatch/edge1/mic0/level") == [
        {"time": "1970-01-01T00:00:01.000Z", "level_dbfs": -31.4},
        {"time": "1970-01-01T00:00:02.000Z", "level_dbfs": None},
    ]


@pytest.fixture
def locked(mosquitto_folder: Path) -> Iterator[Mosquitto]:
    subprocess.run(["mosquitto_passwd", "-b", "-c", mosquitto_folder / "users", "ears", "open sesame"], check=True)
    (mosquitto_folder / "users").chmod(0o644)
    broker = Mosquitto(
        mosquitto_folder, free_port(), f"allow_anonymous false\npassword_file {mosquitto_folder}/users\n"
    )
    yield broker
    broker.kill()


@pytest.mark.slow
def test_a_wrong_password_is_told_and_the_right_one_gets_in(
    room: Room, locked: Mosquitto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MQTT_USERNAME", "ears")
    monkeypatch.setenv("MQTT_PASSWORD", "a guess")
    outlet = room.open(f"mqtt://{locked.address}")
    room.event("start")
    wait_until(lambda: outlet.state.state == "failing")
    assert "Not authorized" in (outlet.state.reason or "")
    assert "a guess" not in repr(room.log.written)
    credentials = tmp_path / "credentials"
    credentials.write_text("ears\nopen sesame\n")
    let_in = Room()
    other = let_in.open(f"mqtt://{locked.address},credentials_file={credentials}")
    let_in.event("start")
    let_in.wait_for(other)
    let_in.close()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho drops one that it cannot trust
def test_an_encrypted_broker_is_checked_and_used(mosquitto_folder: Path, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(mosquitto_folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(mosquitto_folder / "cert.pem"))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "stranger.pem"))
    tls = f"certfile {mosquitto_folder}/cert.pem\nkeyfile {mosquitto_folder}/key.pem\n"
    for file in mosquitto_folder.glob("*.pem"):
        file.chmod(0o644)
    mosquitto_folder.chmod(0o755)
    broker = Mosquitto(mosquitto_folder, free_port(), f"allow_anonymous true\n{tls}")
    room = Room()
    trusted = room.open(f"mqtts://{broker.address},ca={tmp_path}/ca.pem")
    room.event("start")
    room.wait_for(trusted)
    room.close()
    wary = Room()
    untrusted = wary.open(f"mqtts://{broker.address},ca={tmp_path}/stranger.pem")
    wary.event("start")
    wait_until(lambda: untrusted.state.state == "failing")
    assert "CERTIFICATE_VERIFY_FAILED" in (untrusted.state.reason or "")
    wary.close()
    broker.kill()


@pytest.mark.slow
def test_a_topic_that_the_broker_refuses_is_named(mosquitto_folder: Path) -> None:
    room = Room()
    (mosquitto_folder / "rules").write_text("topic readwrite soundwatch/#\n")
    (mosquitto_folder / "rules").chmod(0o644)
    broker = Mosquitto(mosquitto_folder, free_port(), f"allow_anonymous true\nacl_file {mosquitto_folder}/rules\n")
    outlet = room.open(f"mqtt://{broker.address}")
    room.event("start")
    wait_until(lambda: outlet.state.state == "failing")
    assert f"refuses {DISCOVERY}: Not authorized" in (outlet.state.reason or "")
    room.close()
    broker.kill()


@pytest.mark.slow
def test_a_broker_that_hangs_is_left_and_found_again(
    room: Room, mosquitto: Mosquitto, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.connection.ANSWER_S", 0.5)
    outlet = room.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: listener.last(STATUS) == b"online")
    os.kill(mosquitto.pid, signal.SIGSTOP)
    room.event("start")
    wait_until(lambda: outlet.state.state == "failing")
    os.kill(mosquitto.pid, signal.SIGCONT)
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.connection.ANSWER_S", 20.0)
    room.wait_for(outlet)
    lines = wait_until(lambda: listener.events(EVENT))
    assert all(line.get("repeated") for line in lines[1:])
    assert kept(mosquitto.port)[STATUS] == b"online"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("mqtt://", "is no broker's address"),
        ("mqtt:broker", "is no broker's address"),
        ("mqtt://broker:x", "is no broker's address"),
        ("mqtt://broker/topic", "is no broker's address"),
        ("mqtt://me:secret@broker", "Set MQTT_USERNAME and MQTT_PASSWORD"),
        ("mqtt://broker,ca=ca.pem", "write mqtts://"),
        ("mqtt://broker,retian=0", "retian is no option of it; did you mean retain?"),
        ("mqtt://broker,level_s=-1", "level_s"),
    ],
)
def test_what_cannot_be_meant_is_refused(room: Room, text: str, told: str) -> None:
    with pytest.raises(ConfigError) as refused:
        room.open(text)
    assert told in str(refused.value)
    assert "secret" not in str(refused.value)


def test_files_that_are_not_there_are_refused(room: Room) -> None:
    with pytest.raises(SinkError, match="No such file"):
        room.open("mqtts://broker,ca=no.pem")
    with pytest.raises(SinkError, match="nobody cannot be read: No such file"):
        room.open("mqtt://broker,credentials_file=nobody")


def test_sources_that_would_share_topics_are_refused() -> None:
    room = Room(sources=("a b", "a_b"))
    with pytest.raises(ConfigError, match="The sources a b and a_b would share MQTT topics"):
        room.open("mqtt://broker")
    room.close()
