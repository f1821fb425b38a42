"""The MQTT sink with brokers that need a password or TLS, refuse topics, or lack features."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from support.mosquitto import Listener, Mosquitto, OlderBroker, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY, DOG, EVENT
from support.ports import free_port
from support.sink_harness import SinkHarness


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
def test_a_wrong_password_is_reported_and_the_right_one_in_its_file_connects(
    harness: SinkHarness, locked: Mosquitto, tmp_path: Path
) -> None:
    credentials = tmp_path / "credentials"
    credentials.write_text("node1\na guess\n")
    worker = harness.open(f"mqtt://{locked.address},credentials_file={credentials}")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    assert "Not authorized" in (worker.status.reason or "")
    assert "a guess" not in repr(harness.log.written)
    credentials.write_text("node1\nopen sesame\n")
    harness.wait_for(worker)


@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")  # paho drops one that it cannot trust
@pytest.mark.slow
def test_an_encrypted_broker_is_used_once_its_issuer_is_trusted(mosquitto_folder: Path, tmp_path: Path) -> None:
    authority, stranger = trustme.CA(), trustme.CA()
    certificate = authority.issue_cert("127.0.0.1")
    certificate.private_key_pem.write_to_path(str(mosquitto_folder / "key.pem"))
    certificate.cert_chain_pems[0].write_to_path(str(mosquitto_folder / "cert.pem"))
    stranger.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    tls = f"certfile {mosquitto_folder}/cert.pem\nkeyfile {mosquitto_folder}/key.pem\n"
    for file in mosquitto_folder.glob("*.pem"):
        file.chmod(0o644)
    mosquitto_folder.chmod(0o755)
    broker = Mosquitto(mosquitto_folder, free_port(), f"allow_anonymous true\n{tls}")
    harness = SinkHarness()
    worker = harness.open(f"mqtts://{broker.address},ca={tmp_path}/ca.pem")
    harness.event("start")
    assert "not trusted here" in str(wait_until(lambda: worker.status.reason))
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    harness.wait_for(worker)
    harness.close()
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


def test_a_line_that_is_too_large_for_the_broker_is_counted(
    harness: SinkHarness, broker_with: Callable[..., Mosquitto]
) -> None:
    broker = broker_with("max_packet_size 300\n")
    worker = harness.open(f"mqtt://{broker.address}")
    harness.event("start")
    harness.wait_for(worker)
    assert "more than the broker's limit of 300" in harness.log.fields("mqtt_line_too_large")[0]["reason"]
    assert (worker.status.state, worker.status.skipped_lines) == ("working", 1)


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
