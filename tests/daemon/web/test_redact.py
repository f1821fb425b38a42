"""The configuration as the API shows it."""

from __future__ import annotations

import msgspec

from soundwatch.daemon.core.config import Config
from soundwatch.daemon.web.redact import redacted_config

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


def test_what_is_no_secret_is_shown() -> None:
    shown = redacted_config(msgspec.convert(TREE, Config))
    assert shown["sources"]["camera"]["device"] == "rtsp://***@192.0.2.1/live?***"
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
