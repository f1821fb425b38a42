"""Options of the MQTT sink that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import trustme

from soundwatch.daemon.core.errors import ConfigError, SinkError
from support.sink_harness import SinkHarness


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mqtt://", "is no broker's address"),
        ("mqtt:broker", "is no broker's address"),
        ("mqtt://broker:x", "is no broker's address"),
        ("mqtt://broker:0", "is no broker's address"),
        ("mqtt://broker/topic", "is no broker's address"),
        ("mqtt://me:secret@broker", "Set MQTT_USERNAME and MQTT_PASSWORD"),
        ("mqtt://broker,ca=ca.pem", "write mqtts://"),
        ("mqtt://broker,retian=0", "retian is no option of it; did you mean retain?"),
        ("mqtt://broker,level_s=-1", "level_s"),
        ("mqtt://broker,retain=maybe", "Expected `boolean`, got `text` - at `retain`"),
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


def test_a_password_of_the_environment_that_is_not_utf_8_is_named_and_not_shown(
    harness: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MQTT_PASSWORD", "secret\udcff")
    with pytest.raises(ConfigError, match="the variable MQTT_PASSWORD in the environment is not UTF-8") as refused:
        harness.prepare("mqtt://broker").check()
    assert "secret" not in str(refused.value)


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
