"""TLS of the page: real clients, and certificates of an authority of the tests."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import trustme

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.web import server
from support.web_harness import Site, a_site, wait_until
from support.web_settings import settings

TOKEN = "0123456789abcdef"  # noqa: S105


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA()


def write(folder: Path, certificate: trustme.LeafCert) -> str:
    """Write a certificate and its key, and return the options of the page."""
    chain, key = folder / "chain.pem", folder / "key.pem"
    os.close(os.open(key, os.O_WRONLY | os.O_CREAT, 0o600))
    chain.write_bytes(b"".join(blob.bytes() for blob in certificate.cert_chain_pems))
    certificate.private_key_pem.write_to_path(key)
    return f"certificate={chain},key={key}"


@pytest.fixture
def options(tmp_path: Path, authority: trustme.CA) -> str:
    return write(tmp_path, authority.issue_cert("localhost", "127.0.0.1"))


def trusting(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority.configure_trust(context)
    return context


def serial_number(site: Site, authority: trustme.CA) -> str:
    host, port = site.address
    with (
        socket.create_connection((host, port), 60) as connection,
        trusting(authority).wrap_socket(connection, server_hostname=host) as encrypted,
    ):
        found = encrypted.getpeercert()
        assert found is not None
        return str(found["serialNumber"])


def test_the_page_is_served_over_tls_only_and_to_clients_with_the_token(
    options: str, authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOUNDWATCH_TOKEN", TOKEN)
    with a_site(f"http://127.0.0.1:0,{options}") as site:
        assert site.url.startswith("https://127.0.0.1:")
        with httpx.Client(base_url=site.url, verify=trusting(authority), trust_env=False, timeout=60) as client:
            assert client.get("/api/sources").status_code == 401
            assert client.get("/api/sources", headers={"Authorization": f"Bearer {TOKEN}"}).status_code == 200
            cookie = client.post("/login", data={"token": TOKEN}).headers["set-cookie"]
            assert "Secure" in cookie
            assert client.get("/").status_code == 200
        with pytest.raises(httpx.HTTPError):
            httpx.get(site.url.replace("https:", "http:"), trust_env=False, timeout=60, verify=False)  # noqa: S501
        assert site.get("/login").status_code == 200, "plain HTTP on the port disturbs no other client"
        assert site.log.written == []


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_an_old_version_of_tls_is_refused(options: str, authority: trustme.CA) -> None:
    context = trusting(authority)
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    context.set_ciphers("ALL:@SECLEVEL=0")
    with (
        a_site(f"http://127.0.0.1:0,{options}") as site,
        socket.create_connection(site.address, 60) as connection,
        pytest.raises((ssl.SSLError, ConnectionError)),
    ):
        context.wrap_socket(connection, server_hostname="127.0.0.1")


def test_a_renewed_certificate_is_used_by_the_next_connection_and_a_half_renewed_one_never(
    options: str, authority: trustme.CA, tmp_path: Path
) -> None:
    with a_site(f"http://127.0.0.1:0,{options}") as site:
        first = serial_number(site, authority)
        renewed = authority.issue_cert("localhost", "127.0.0.1")
        (tmp_path / "chain.pem").write_bytes(renewed.cert_chain_pems[0].bytes())
        assert serial_number(site, authority) == first
        renewed.private_key_pem.write_to_path(tmp_path / "key.pem")
        second = serial_number(site, authority)
        assert second != first
        (tmp_path / "key.pem").unlink()
        assert serial_number(site, authority) == second
        [(event, fields)] = site.log.written
        assert event == "certificate_not_renewed"
        assert "is not that of the certificate" in fields["error"]


def test_connections_are_limited_before_their_handshake(options: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "MAX_CONNECTIONS", 2)
    with a_site(f"http://127.0.0.1:0,{options}") as site, contextlib.ExitStack() as opened:
        crowd = [opened.enter_context(socket.create_connection(site.address, 60)) for _ in range(3)]
        assert crowd[2].recv(1) == b"", "closed without an answer"
        wait_until(lambda: site.log.fields("connections_refused") == [{"count": 1}])
        crowd[0].close()
        wait_until(lambda: answers(site))


def answers(site: Site) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return site.get("/login").status_code == 200
    return False


def break_key(folder: Path) -> None:
    (folder / "key.pem").write_text("no key")


def break_certificate(folder: Path) -> None:
    (folder / "chain.pem").write_text("no certificate")


def expose_key(folder: Path) -> None:
    (folder / "key.pem").chmod(0o644)


def remove_certificate(folder: Path) -> None:
    (folder / "chain.pem").unlink()


def pipe_certificate(folder: Path) -> None:
    (folder / "chain.pem").unlink()
    os.mkfifo(folder / "chain.pem")


def pipe_key(folder: Path) -> None:
    (folder / "key.pem").unlink()
    os.mkfifo(folder / "key.pem", 0o600)


def enlarge_certificate(folder: Path) -> None:
    os.truncate(folder / "chain.pem", 1_000_001)


def encrypt_key(folder: Path) -> None:
    from cryptography.hazmat.primitives import serialization as to

    key = to.load_pem_private_key((folder / "key.pem").read_bytes(), None)
    encryption = to.BestAvailableEncryption(b"password")
    (folder / "key.pem").write_bytes(key.private_bytes(to.Encoding.PEM, to.PrivateFormat.PKCS8, encryption))


def exchange_key(folder: Path) -> None:
    trustme.CA().issue_cert("localhost").private_key_pem.write_to_path(folder / "key.pem")


@pytest.mark.parametrize(
    ("break_file", "reason"),
    [
        (break_key, "key.pem has no private key in PEM format"),
        (break_certificate, "chain.pem has no certificate in PEM format"),
        (remove_certificate, "chain.pem cannot be read: No such file"),
        (expose_key, "Every user of this machine can read the key .* chmod 600"),
        (pipe_certificate, "chain.pem is not a regular file"),
        (pipe_key, "key.pem is not a regular file"),
        (enlarge_certificate, "chain.pem is not a regular file of at most 1000 kB"),
        (encrypt_key, "key.pem is encrypted. Decrypt it"),
        (exchange_key, "is not that of the certificate"),
    ],
)
def test_files_that_cannot_be_used_are_refused_with_the_reason(
    options: str, tmp_path: Path, break_file: Callable[[Path], None], reason: str
) -> None:
    break_file(tmp_path)
    with pytest.raises(ConfigError, match=reason):
        settings(f"http://127.0.0.1:0,{options}")


def test_a_certificate_without_its_key_is_refused(options: str) -> None:
    with pytest.raises(ConfigError, match=r"needs both ,certificate=FILE and ,key=FILE"):
        settings(f"http://127.0.0.1:0,{options.partition(',')[0]}")


def test_an_address_of_the_network_needs_a_token_with_tls_too(options: str) -> None:
    with pytest.raises(ConfigError, match="requires a token"):
        settings(f"http://0.0.0.0:0,{options}")


def test_an_expired_certificate_is_logged_and_the_page_is_served(tmp_path: Path, authority: trustme.CA) -> None:
    end = datetime.now(UTC) - timedelta(days=1)
    expired = authority.issue_cert("127.0.0.1", not_after=end)
    with a_site(f"http://127.0.0.1:0,{write(tmp_path, expired)}") as site:
        [(event, fields)] = site.log.written
        assert (event, fields["error"]) == ("certificate_not_valid", "certificate has expired")
        assert site.get("/login").status_code == 200
