"""Addresses and configurations without their secrets."""

from __future__ import annotations

import msgspec
import pytest

from soundwatch.daemon.config.config import Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.core.network.redact import check_address, redact_sink, redact_text, redact_url, redacted_config

SECRET = "hunter2"  # noqa: S105

TREE = {
    "sources": {
        "camera": {"device": f"rtsp://admin:{SECRET}@192.0.2.1/live?auth={SECRET}"},
        "radio": {"device": f"http://{SECRET}@radio.example/stream"},
    },
    "sinks": [
        "json",
        f"mqtt://user:{SECRET}@broker.example:1883,retain=1",
        f"webhook:https://chat.example/hooks/{SECRET}/{SECRET},method=POST",
        f"webhook:https://chat.example/x?key={SECRET},secret={SECRET}",
        f"command:notify --token {SECRET} --to me",
        {
            "sink": "mqtt://broker.example",
            "password": SECRET,
            "api_key": SECRET,
            "token": SECRET,
            "token_file": "/etc/t",
        },
        "http://0.0.0.0:8433,token_file=/etc/soundwatch/token",
    ],
}


def test_no_secret_is_shown_wherever_it_was_put() -> None:
    shown = redacted_config(msgspec.convert(TREE, Config))
    assert SECRET not in msgspec.json.encode(shown).decode()


def test_other_values_are_shown() -> None:
    shown = redacted_config(msgspec.convert(TREE, Config))
    assert shown["sources"]["camera"]["device"] == "rtsp://***@192.0.2.1/live?auth=***"
    assert shown["sinks"] == [
        "json",
        "mqtt://***@broker.example:1883,retain=1",
        "webhook:https://chat.example/***,method=POST",
        "webhook:https://chat.example/***,secret=***",
        "command:notify ***",
        {"sink": "mqtt://broker.example", "password": "***", "api_key": "***", "token": "***", "token_file": "/etc/t"},
        "http://0.0.0.0:8433,token_file=/etc/soundwatch/token",
    ]
    assert shown["detection"]["cooldown_s"] == 5.0


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("rtsp://me:hunter2@camera/1", "rtsp://***@camera/1"),
        ("http://radio/live", "http://radio/live"),
        (
            "http://cam:81/videostream.cgi?user=admin&password=hunter2",
            "http://cam:81/videostream.cgi?user=***&password=***",
        ),
        ("http://cam/a?hunter2", "http://cam/a?***"),
        ("http://cam/a?pwd=hun&hunter2;x=hunter2#hunter2", "http://cam/a?pwd=***&***;x=***"),
        ("http://cam/a#token=hunter2", "http://cam/a#token=***"),
        ("rtsp://cam/user=admin&password=hunter2&channel=1", "rtsp://cam/user=***&password=***&channel=***"),
        ("rtsp://cam/user=admin_password=hunter2_channel=1_stream=0.sdp", "rtsp://cam/user=***"),
        ("rtsp://cam:hunter2@ss/w:rd#1@host/live", "rtsp://***@host/live"),
        ("rtsp://cam:my hunter2 @host/live", "rtsp://***@host/live"),
        ("rtsp://cam:a,hunter2@host/live", "rtsp://***@host/live"),
        ("default", "default"),
    ],
)
def test_an_address_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert redact_url(url) == shown
    assert redact_url(shown) == shown


def test_every_address_in_a_text_is_redacted() -> None:
    text = "rtsp://a:hunter2@b/c: 401 (see 'http://d/?key=hunter2'), [https://hunter2@e]."
    assert redact_text(text) == "rtsp://***@b/c: 401 (see 'http://d/?key=***'), [https://***@e]."


def test_a_comma_in_a_password_of_a_sink_is_not_the_start_of_its_options() -> None:
    assert redact_sink("mqtt://me:a,hunter2@broker,retain=1") == "mqtt://***@broker,retain=1"


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam:p@ss/w:rd#1@host",
        "rtsp://cam:p@ss@host/live",
        "rtsp://cam:pa/ss@host/live",
        "rtsp://cam:pa?ss@host/live",
        "rtsp://cam:pa#ss@host/live",
        "rtsp://cam:100%@host/live",
        "rtsp://cam:pass word@host/live",
        "rtsp://host/live?user=me@example.org",
    ],
)
def test_an_ambiguous_address_is_refused_with_the_advice_to_percent_encode(url: str) -> None:
    with pytest.raises(ConfigError, match="percent-encode") as refused:
        check_address(url)
    assert "cam:" not in str(refused.value)


@pytest.mark.parametrize(
    "url", ["rtsp://cam:pa/ss", "rtsp://host:port/live", "rtsp://host:99999/live", "rtsp://host:0/"]
)
def test_a_port_that_is_no_port_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="port"):
        check_address(url)


@pytest.mark.parametrize(
    "url",
    [
        "rtsp://cam:p%40ss%2Fw%3Ard%231@host:554/live?channel=1#t",
        "rtsp://[::1]:554/live",
        "http://radio.example/a%20b=1",
        "rtsp://u:a:b@host/1",
        "srt://:9000",
        "pcm+udp://239.1.2.3:5004",
    ],
)
def test_an_address_that_reads_in_one_way_is_accepted(url: str) -> None:
    check_address(url)


@pytest.mark.parametrize("url", ["rtsp://a[b:pw@host/", "rtsp://a:p]w@host/", "rtsp://[::1/x", "rtsp://h℀x/"])
def test_an_address_that_no_reader_can_split_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match="percent-encode"):
        check_address(url)
