"""The webhook sink with servers whose certificate is wrong and is renewed, and with files that are replaced."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import trustme

from support.mosquitto import wait_until
from support.sink_harness import SinkHarness
from support.webhook_server import Server, status

DAY = timedelta(days=1)


@pytest.mark.parametrize(
    ("issue", "reason"),
    [
        (lambda ca, now: ca.issue_cert("127.0.0.1", not_before=now - 9 * DAY, not_after=now - DAY), "has expired"),
        (lambda ca, now: ca.issue_cert("127.0.0.1", not_before=now + DAY, not_after=now + 9 * DAY), "not valid yet"),
        (lambda ca, _: ca.issue_cert("example.org"), "is for another name"),
        (lambda _, __: trustme.CA().issue_cert("127.0.0.1"), "not trusted here; give the issuer's"),
    ],
    ids=["expired", "early", "another name", "another issuer"],
)
def test_a_wrong_certificate_is_named_and_a_renewed_one_recovers_the_sink(
    harness: SinkHarness,
    tmp_path: Path,
    issue: Callable[[trustme.CA, datetime], trustme.LeafCert],
    reason: str,
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    issue(authority, datetime.now(UTC)).configure_cert(context)
    server = Server(context)
    worker = harness.open(f"webhook:https://{server.address}/path-secret,ca={tmp_path}/ca.pem")
    harness.event("start")
    failed = wait_until(lambda: worker.status.reason)
    assert reason in failed
    assert ";" in failed, "the remedy follows"
    authority.issue_cert("127.0.0.1").configure_cert(context)
    harness.wait_for(worker)
    assert server.types == ["start"]
    assert harness.logged() == ["sink_failed", "sink_recovered"]
    assert "path-secret" not in repr(harness.log.written)
    server.close()


def test_certificates_of_the_option_are_read_again_after_they_were_replaced(
    harness: SinkHarness, tmp_path: Path
) -> None:
    authority, context = trustme.CA(), ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    trustme.CA().cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    server = Server(context)
    worker = harness.open(f"webhook:https://{server.address},ca={tmp_path}/ca.pem")
    harness.event("start")
    wait_until(lambda: worker.status.state == "failing")
    authority.cert_pem.write_to_path(str(tmp_path / "new.pem"))
    (tmp_path / "new.pem").replace(tmp_path / "ca.pem")
    harness.wait_for(worker)
    assert server.types == ["start"]
    server.close()


def test_a_server_without_tls_is_named(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:https://{server.address}")
    harness.event("start")
    assert "does not speak TLS at this port" in wait_until(lambda: worker.status.reason)


def test_a_replaced_token_is_used_for_the_line_that_was_refused(
    harness: SinkHarness, server: Server, tmp_path: Path
) -> None:
    token = tmp_path / "token"
    token.write_text("tk_former")
    server.answers += [status(200), *[status(401)] * 2]
    worker = harness.open(f"webhook:http://{server.address},token_file={token}")
    harness.event("start")
    harness.wait_for(worker)
    harness.event("end")
    wait_until(lambda: worker.status.reason)
    token.unlink()  # a moment without a file is no change
    wait_until(lambda: not server.answers)
    token.write_text("tk_renewed")
    harness.wait_for(worker)
    assert server.requests[-1][1]["authorization"] == "Bearer tk_renewed"
    assert "tk_" not in repr(harness.log.written)
