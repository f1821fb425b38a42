"""The MQTT sink with a real Mosquitto that is killed, restarted, locked and encrypted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import trustme

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.core.types import WindowResult
from support.level_factory import level_line
from support.mosquitto import Listener, Mosquitto, OlderBroker, retained_messages, wait_until
from support.ports import free_port
from support.sink_harness import CLASSES, SinkHarness

DOG = "soundwatch/edge1/mic0/class/dog_bark"
EVENT = "soundwatch/edge1/mic0/event"
STATUS = "soundwatch/edge1/status"
DISCOVERY = "homeassistant/device/soundwatch_edge1/config"
OWNER = "soundwatch/edge1/owner"


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


@pytest.fixture
def locked(mosquitto_folder: Path) -> Iterator[Mosquitto]:
    subprocess.run(["mosquitto_passwd", "-b", "-c", mosquitto_folder / "users", "node1", "open sesame"], check=True)
    (mosquitto_folder / "users").chmod(0o644)
    broker = Mosquitto(
        mosquitto_folder, free_port(), f"allow_anonymous false\npassword_file {mosquitto_folder}/users\n"
    )
    yield broker
    broker.kill()


@pytest.mark.slow
def test_a_wrong_password_is_reported_and_the_right_one_connects(
    harness: SinkHarness, locked: Mosquitto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MQTT_USERNAME", "node1")
    monkeypatch.setenv("MQTT_PASSWORD", "a guess")
    worker = harness.open(f"mqtt://{locked.address}")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "Not authorized" in (worker.status.reason or "")
    assert "a guess" not in repr(harness.log.written)
    credentials = tmp_path / "credentials"
    credentials.write_text("node1\nopen sesame\n")
    let_in = SinkHarness()
    other = let_in.open(f"mqtt://{locked.address},credentials_file={credentials}")
    let_in.event("start")
    let_in.wait_for(other)
    let_in.close()


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho drops one that it cannot trust
@pytest.mark.slow
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
    harness = SinkHarness()
    trusted = harness.open(f"mqtts://{broker.address},ca={tmp_path}/ca.pem")
    harness.event("start")
    harness.wait_for(trusted)
    harness.close()
    wary = SinkHarness()
    untrusted = wary.open(f"mqtts://{broker.address},ca={tmp_path}/stranger.pem")
    wary.event("start")
    wait_until(lambda: untrusted.status.state == "failing")
    assert "CERTIFICATE_VERIFY_FAILED" in (untrusted.status.reason or "")
    wary.close()
    broker.kill()


@pytest.fixture
def broker_with(mosquitto_folder: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Start brokers with options; `rules` are those of an ACL file."""
    brokers: list[Mosquitto] = []

    def start(options: str = "", rules: str | None = None) -> Mosquitto:
        if rules is not None:
            (mosquitto_folder / "rules").write_text(rules)
            (mosquitto_folder / "rules").chmod(0o644)
            options += f"acl_file {mosquitto_folder}/rules\n"
        brokers.append(Mosquitto(mosquitto_folder, free_port(), f"allow_anonymous true\n{options}"))
        return brokers[-1]

    yield start
    for broker in brokers:
        broker.kill()


def test_events_arrive_where_the_broker_refuses_the_discovery_which_is_named(
    harness: SinkHarness, broker_with: Callable[..., Mosquitto]
) -> None:
    broker = broker_with(rules="topic readwrite soundwatch/#\n")
    worker = harness.open(f"mqtt://{broker.address}")
    harness.event("start")
    harness.wait_for(worker)
    assert {fields["topic"]: fields["reason"] for fields in harness.log.fields("mqtt_topic_refused")} == {
        DISCOVERY: "Not authorized"
    }


def test_a_refused_topic_is_taken_after_a_restart_of_the_broker_with_other_permissions(
    harness: SinkHarness, broker_with: Callable[..., Mosquitto], mosquitto_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("soundwatch.daemon.sinks.mqtt.refused_topics.FIRST_PAUSE_S", 2.0)
    broker = broker_with(rules="topic readwrite soundwatch/#\n")
    worker = harness.open(f"mqtt://{broker.address}")
    harness.event("start")
    harness.wait_for(worker)
    (mosquitto_folder / "rules").write_text("topic readwrite #\n")
    time.sleep(2.5)  # a topic that was refused just now may be what the broker hung up on
    broker.kill()
    broker.start()
    wait_until(lambda: harness.log.fields("mqtt_topic_accepted") == [{"sink": worker.status.name, "topic": DISCOVERY}])


def test_events_wait_where_the_broker_refuses_them(harness: SinkHarness, broker_with: Callable[..., Mosquitto]) -> None:
    broker = broker_with(rules=f"topic readwrite #\ntopic deny {EVENT}\n")
    worker = harness.open(f"mqtt://{broker.address}")
    harness.event("start")
    wait_until(lambda: f"refuses {EVENT}: Not authorized" in (worker.status.reason or ""))
    assert worker.status.state == "failing"


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ("retain_available false\n", "retained messages"),
        ("max_qos 0\n", "QoS 1"),
    ],
)
def test_events_arrive_at_a_broker_that_lacks_something_which_is_named(
    harness: SinkHarness, broker_with: Callable[..., Mosquitto], options: str, missing: str
) -> None:
    broker = broker_with(options)
    listener = Listener(broker.port)
    worker = harness.open(f"mqtt://{broker.address}")
    harness.event("start")
    harness.wait_for(worker)
    wait_until(lambda: [line["type"] for line in listener.events(EVENT)] == ["start"])
    assert harness.log.fields("mqtt_features_unsupported")[0]["missing"] == missing
    listener.close()


@pytest.mark.parametrize("refusal", [b"\x20\x02\x00\x01", b""], ids=["refuses", "hangs up"])
def test_a_broker_of_the_older_version_only_is_joined(
    harness: SinkHarness, mosquitto: Mosquitto, listener: Listener, refusal: bytes
) -> None:
    older = OlderBroker(mosquitto.port, refusal)
    worker = harness.open(f"mqtt://{older.address}")
    harness.event("start")
    harness.event("end")
    harness.wait_for(worker)
    wait_until(lambda: [line["type"] for line in listener.events(EVENT)] == ["start", "end"])
    assert listener.payloads(DOG)[-1] == b"OFF"
    assert harness.log.fields("mqtt_features_unsupported")[0]["missing"] == "MQTT 5"
    listener.publish("soundwatch/edge1/mic0/set", "OFF")
    wait_until(lambda: harness.switched == [("mic0", False)])
    older.close()


@pytest.mark.parametrize("older", [False, True])
def test_events_arrive_where_the_discovery_is_too_large_for_the_broker(
    harness: SinkHarness, broker_with: Callable[..., Mosquitto], *, older: bool
) -> None:
    broker = broker_with("max_packet_size 2048\n")
    relay = OlderBroker(broker.port, b"")
    worker = harness.open(f"mqtt://{relay.address if older else broker.address}")
    harness.event("start")
    harness.wait_for(worker)
    assert DOG in retained_messages(broker.port)
    left_out = harness.log.fields("mqtt_message_disabled" if older else "mqtt_topic_refused")
    assert [fields.get("topic", fields.get("extra")) for fields in left_out] == ["discovery" if older else DISCOVERY]
    relay.close()


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


@pytest.mark.parametrize(
    ("text", "message"),
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
def test_an_impossible_value_is_refused(harness: SinkHarness, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        harness.open(text)
    assert message in str(refused.value)
    assert "secret" not in str(refused.value)


def test_files_that_are_not_there_fail_the_sink_and_the_check(harness: SinkHarness) -> None:
    for text, reason in (
        ("mqtts://broker,ca=no.pem", "No such file"),
        ("mqtt://broker,credentials_file=nobody", "nobody cannot be read: No such file"),
    ):
        with pytest.raises(SinkError, match=reason):
            harness.prepare(text).check()
        assert reason in str(harness.open(text).status.reason)


def test_an_encrypted_key_of_this_client_is_an_error_and_no_question_on_the_terminal(
    harness: SinkHarness, tmp_path: Path
) -> None:
    from cryptography.hazmat.primitives import serialization as to

    certificate = trustme.CA().issue_cert("edge1")
    certificate.cert_chain_pems[0].write_to_path(tmp_path / "cert.pem")
    key = to.load_pem_private_key(certificate.private_key_pem.bytes(), None)
    encrypted = key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, to.BestAvailableEncryption(b"password"))
    (tmp_path / "key.pem").write_bytes(encrypted)
    sink = harness.prepare(f"mqtts://127.0.0.1,cert={tmp_path}/cert.pem,key={tmp_path}/key.pem")
    with pytest.raises(SinkError, match="its certificates cannot be used"):
        sink.check()


def test_sources_that_would_share_topics_are_refused() -> None:
    harness = SinkHarness(sources=("a b", "a_b"))
    with pytest.raises(ConfigError, match="The sources a b and a_b would share MQTT topics"):
        harness.open("mqtt://broker")
    harness.close()
