"""Addresses of the server, and access to it."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError
from support.web_settings import settings

TOKEN, OTHER = "sixteen-letters-", "another-of-sixteen"


def test_an_address_on_loopback_needs_no_token() -> None:
    for host in ("127.0.0.1", "127.3.2.1", "localhost", "[::1]"):
        assert settings(f"http://{host}:8433").token is None


def test_the_port_is_8433_where_none_is_given() -> None:
    assert settings("http://127.0.0.1").port == 8433
    assert settings("http://[::1]").url == "http://[::1]:8433"


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.0.2.1", "balcony", "example.org"])  # noqa: S104
def test_an_address_that_others_can_reach_is_refused_without_a_token(host: str) -> None:
    with pytest.raises(ConfigError, match="can be reached from other machines, so it requires a token"):
        settings(f"http://{host}:8433")


def test_an_address_that_only_a_proxy_may_use_needs_no_token() -> None:
    parsed = settings("http://0.0.0.0:1,proxy=172.30.32.2 fd0c::2")
    assert parsed.token is None
    assert [
        parsed.is_proxy(address) for address in ("172.30.32.2", "::ffff:172.30.32.2", "fd0c:0::2", "172.30.32.3")
    ] == [
        True,
        True,
        True,
        False,
    ]
    assert not settings("http://127.0.0.1:1").is_proxy("127.0.0.1")


def test_a_trusted_proxy_names_its_clients_and_does_not_check_them() -> None:
    parsed = settings("http://127.0.0.1:1,proxy=192.0.2.1,trusted_proxies=192.0.2.2 192.0.2.3")
    addresses = ("192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4")
    assert [parsed.names_clients(address) for address in addresses] == [True, True, True, False]
    assert [parsed.is_proxy(address) for address in addresses] == [True, False, False, False]
    with pytest.raises(ConfigError, match=r"an IP address was expected, as trusted_proxies=192\.0\.2\.7"):
        settings("http://127.0.0.1:1,trusted_proxies=nginx")


def test_trusted_proxies_of_a_network_name_their_clients() -> None:
    parsed = settings("http://127.0.0.1:1,trusted_proxies=172.18.0.1/16 fd0c::/64 192.0.2.7")
    addresses = (
        "172.18.3.4",
        "::ffff:172.18.3.4",
        "172.19.0.1",
        "fd0c::9",
        "fd0d::9",
        "192.0.2.7",
        "192.0.2.8",
        "name",
    )
    assert [parsed.names_clients(address) for address in addresses] == [
        *(True, True, False),
        *(True, False),
        *(True, False),
        False,
    ]
    assert not parsed.is_proxy("172.18.3.4")


@pytest.mark.parametrize("word", ["supervisor", "172.30.32.0/23", "172.30.32.2:80", "*"])
def test_a_proxy_is_named_by_its_address(word: str) -> None:
    with pytest.raises(ConfigError, match=r"an IP address was expected, as proxy=192\.0\.2\.7"):
        settings(f"http://0.0.0.0:1,proxy={word}")


def test_a_token_comes_from_a_file_or_from_the_environment(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    assert settings(f"http://0.0.0.0:1,token_file={path}").token == TOKEN
    environment = {"SOUNDWATCH_TOKEN": OTHER}
    assert settings("http://0.0.0.0:1", environment).token == OTHER
    assert settings(f"http://0.0.0.0:1,token_file={path}", environment).token == TOKEN
    assert settings("http://127.0.0.1:1", environment).token == OTHER, "whoever sets one means it"


@pytest.mark.parametrize("token", ["", "short", "with spaces in between", "fünfzehn-oder-mehr"])
def test_a_token_that_is_easily_guessed_or_no_header_can_hold_is_refused(tmp_path: Path, token: str) -> None:
    path = tmp_path / "token"
    path.write_text(token)
    with pytest.raises(ConfigError, match="at least 16 ASCII characters without spaces were expected") as refused:
        settings(f"http://0.0.0.0:1,token_file={path}")
    assert not token or token not in str(refused.value)


def test_a_token_file_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: No such file or directory"):
        settings(f"http://0.0.0.0:1,token_file={tmp_path}/none")


@pytest.mark.parametrize(
    "word", ["http", "http://", "http://:80", "http://h:x", "http://h:99999", "http://h/path", "http://u:p@h"]
)
def test_an_invalid_address_is_refused_with_an_example(word: str) -> None:
    with pytest.raises(ConfigError, match=r"http://HOST:PORT was expected, as http://127\.0\.0\.1:8433"):
        settings(word)


def test_an_unknown_option_is_refused_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match="did you mean token_file"):
        settings("http://127.0.0.1:1,tokenfile=x")


@pytest.mark.parametrize("host", ["https://watch.example.org", "watch.example.org:443", "a b", "[x"])
def test_a_host_that_is_no_name_is_refused(host: str) -> None:
    with pytest.raises(ConfigError, match="a name without http:// and without a port was expected"):
        settings(f"http://127.0.0.1:8433,host={host}")


def test_on_loopback_only_its_own_names_are_its_own() -> None:
    own = settings("http://127.0.0.1:8433,host=watch.example.org")
    for name in ("localhost", "127.0.0.1", "::1", "watch.example.org"):
        assert own.accepts_host(name)
    for name in ("evil.example", "localhost.evil.example", "192.0.2.1", ""):
        assert not own.accepts_host(name)


def test_on_the_network_addresses_and_the_machines_names_are_its_own_too() -> None:
    own = settings("http://0.0.0.0:8433", {"SOUNDWATCH_TOKEN": "sixteen-letters-"})
    for name in ("192.0.2.1", "fe80::1", "balcony", "balcony.local", "localhost"):
        assert own.accepts_host(name)
    assert not own.accepts_host("evil.example")
