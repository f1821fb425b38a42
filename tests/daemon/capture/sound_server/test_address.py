"""Addresses, default source and cookie of the sound server."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.capture.sound_server.address import client_settings, parse_address, show_address
from soundwatch.daemon.capture.sound_server.source import open_server_source
from soundwatch.daemon.core.errors import SourceError

VARIABLES = ("PULSE_SERVER", "PULSE_SOURCE", "PULSE_COOKIE", "PULSE_CLIENTCONFIG", "PULSE_RUNTIME_PATH")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """The folder of settings of a user without any."""
    for name in (*VARIABLES, "XDG_CONFIG_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", "/run/user/7")
    folder = tmp_path / ".config" / "pulse"
    folder.mkdir(parents=True)
    (folder / "client.conf").write_text("")  # else the system's counts
    return folder


@pytest.mark.parametrize(
    ("text", "address", "shown"),
    [
        ("unix:/run/native", "/run/native", "unix:/run/native"),
        ("/run/native", "/run/native", "unix:/run/native"),
        ("tcp:desk", ("desk", 4713), "tcp:desk:4713"),
        ("tcp6:[::1]:5000", ("::1", 5000), "tcp:[::1]:5000"),
        ("10.0.0.1:80", ("10.0.0.1", 80), "tcp:10.0.0.1:80"),
        ("desk", ("desk", 4713), "tcp:desk:4713"),
    ],
)
def test_an_address_is_parsed_and_shown(text: str, address: object, shown: str) -> None:
    assert parse_address(text) == address
    assert show_address(parse_address(text)) == shown


@pytest.mark.parametrize("text", ["tcp:", "tcp:desk:port", "tcp:desk:99999", "{machine}unix:/a", "http://desk/", "::1"])
def test_a_malformed_address_is_an_error(text: str) -> None:
    with pytest.raises(SourceError, match=r"is malformed\. Set PULSE_SERVER to unix:PATH"):
        parse_address(text)


def test_without_settings_the_servers_of_the_user_and_the_system_are_tried(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = client_settings()
    assert settings.addresses == ("/run/user/7/pulse/native", "/run/pulse/native")
    assert (settings.source, settings.cookie) == (None, bytes(256))
    monkeypatch.setenv("PULSE_RUNTIME_PATH", "/tmp/server")  # noqa: S108
    assert client_settings().addresses[0] == "/tmp/server/native"  # noqa: S108
    monkeypatch.delenv("PULSE_RUNTIME_PATH")
    monkeypatch.delenv("XDG_RUNTIME_DIR")
    user = f"/run/user/{os.getuid()}/pulse/native"
    for value in (None, ""):
        if value is not None:
            monkeypatch.setenv("XDG_RUNTIME_DIR", value)
            monkeypatch.setenv("PULSE_RUNTIME_PATH", value)
        addresses = client_settings().addresses
        assert (addresses[0], addresses[-1]) == (user, "/run/pulse/native")
        assert all(str(address).endswith("/native") for address in addresses)


def test_variables_come_before_the_users_file(home: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (home / "client.conf").write_text(
        f"; a\n# default-server = no\ndefault-server = unix:/a tcp:b\ndefault-source=desk\ncookie-file={tmp_path}/c\n"
    )
    (tmp_path / "c").write_bytes(b"c" * 256)
    settings = client_settings()
    assert (settings.addresses, settings.source, settings.cookie) == (("/a", ("b", 4713)), "desk", b"c" * 256)
    (tmp_path / "d").write_bytes(b"d" * 300)
    monkeypatch.setenv("PULSE_SERVER", "unix:/d")
    monkeypatch.setenv("PULSE_SOURCE", "yard")
    monkeypatch.setenv("PULSE_COOKIE", "~/d")
    settings = client_settings()
    assert (settings.addresses, settings.source, settings.cookie) == (("/d",), "yard", b"d" * 256)


def test_the_cookie_of_the_user_is_read_if_it_is_whole(home: Path, tmp_path: Path) -> None:
    (tmp_path / ".pulse-cookie").write_bytes(b"o" * 256)
    (home / "cookie").write_bytes(b"short")
    assert client_settings().cookie == b"o" * 256
    (home / "cookie").write_bytes(b"n" * 256)
    assert client_settings().cookie == b"n" * 256
    assert client_settings().cookie_origin == f"with the cookie {home}/cookie"


def test_the_reasons_for_no_cookie_are_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "cookie").write_bytes(b"short")
    assert client_settings().cookie_origin == (
        f"without a cookie ({home}/cookie has 5 bytes in place of 256; ~/.pulse-cookie: No such file or directory)"
    )
    monkeypatch.setenv("PULSE_COOKIE", "/none/cookie")
    assert client_settings().cookie_origin == "without a cookie (/none/cookie: No such file or directory)"
    monkeypatch.setenv("PULSE_COOKIE", "~nobody-here/cookie")
    assert "~nobody-here/cookie: Could not determine home directory" in client_settings().cookie_origin


@pytest.mark.parametrize("server", ["unix:/none/native", "unix:/" + "long/" * 60, "tcp:127.0.0.1:1", "tcp:" + "a" * 70])
def test_a_server_that_cannot_be_reached_is_an_error_that_names_its_address(
    home: Path, monkeypatch: pytest.MonkeyPatch, server: str
) -> None:
    monkeypatch.setenv("PULSE_SERVER", server)
    with pytest.raises(SourceError) as caught:
        open_server_source("mic0", "pulse:desk", None)
    assert "pulse:desk was expected, and the sound server does not answer: " in str(caught.value)
    assert f"({server.replace('a' * 70, 'a' * 70 + ':4713')}). Check that the server" in str(caught.value)
