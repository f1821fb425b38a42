"""Sentences about failures of TLS."""

from __future__ import annotations

import ssl

import pytest

from soundwatch.daemon.core.network.tls_fault import tls_fault_text
from soundwatch.daemon.core.text.messages import failure_text


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate (_ssl.c:1006)", "ca"),
        ("[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: self-signed certificate in chain", "self-signed"),
        ("connection to server failed: SSL error: certificate verify failed", "check its dates"),
        ("[SSL: TLSV13_ALERT_CERTIFICATE_REQUIRED] tlsv13 alert certificate required (_ssl.c:2580)", "cert and key"),
        ("[SSL: SSLV3_ALERT_CERTIFICATE_EXPIRED] sslv3 alert certificate expired (_ssl.c:2580)", "this client's"),
        ("[SSL: TLSV1_ALERT_PROTOCOL_VERSION] tlsv1 alert protocol version (_ssl.c:1006)", "TLS 1.2"),
    ],
)
def test_a_failure_of_tls_is_a_sentence_with_its_remedy(text: str, part: str) -> None:
    assert part in str(tls_fault_text(text))
    assert "_ssl.c" not in failure_text(ssl.SSLError(1, text))


def test_other_texts_are_left_as_they_are() -> None:
    assert tls_fault_text("the certificate of the swimmer has expired") is None
    assert failure_text(ConnectionRefusedError(111, "Connection refused")) == "Connection refused"
