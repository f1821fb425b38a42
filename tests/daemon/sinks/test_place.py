"""One destination in two spellings is one place."""

from __future__ import annotations

from pathlib import Path

import pytest

from soundwatch.daemon.app.outputs import prepare_all
from soundwatch.daemon.core.errors import ConfigError
from support.sink_harness import SinkHarness


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("webhook:http://h.example", "webhook:http://h.example:80/"),
        ("webhook:https://h.example/a", "webhook:HTTPS://H.Example:443/a"),
        ("webhook:http://h.example./a", "webhook:http://h.example/a"),
        ("webhook:http://localhost:9/a", "webhook:http://127.0.0.1:9/a"),
        ("webhook:http://127.0.0.1:9/a", "webhook:http://[::1]:9/a"),
        ("webhook:http://127.8.0.1:9/a", "webhook:http://[::ffff:127.0.0.1]:9/a"),
        ("webhook:http://[2001:DB8::0:1]/a", "webhook:http://[2001:db8:0:0::1]/a"),
        ("mqtt://broker.local", "mqtt://BROKER.local.:1883"),
        ("mqtt://localhost", "mqtt://[::1]:1883,retain=0"),
        ("mqtt://10.0.0.7", "mqtt://[::ffff:10.0.0.7]"),
        ("tcp://127.0.0.1:9", "tcp://[::ffff:127.0.0.1]:9"),
        ("tcp://localhost:9", "tcp://LOCALHOST.:9"),
    ],
)
def test_two_spellings_of_one_place_are_refused(harness: SinkHarness, first: str, second: str) -> None:
    with pytest.raises(ConfigError, match="Two sinks write to"):
        prepare_all([first, second], harness.view)


@pytest.mark.parametrize("spelling", ["detour", "symbolic link", "hard link", "link to a file to come"])
def test_one_file_under_two_names_is_refused(harness: SinkHarness, tmp_path: Path, spelling: str) -> None:
    file, link = tmp_path / "events.jsonl", tmp_path / "link"
    (tmp_path / "x").mkdir()
    if spelling == "detour":
        link = tmp_path / "x" / ".." / "events.jsonl"
    elif spelling == "hard link":
        file.touch()
        link.hardlink_to(file)
    else:
        link.symlink_to(file)
        if spelling == "symbolic link":
            file.touch()
    with pytest.raises(ConfigError, match="each place can be written to once"):
        prepare_all([f"json:{file}", f"json:{link}"], harness.view)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("webhook:http://h.example/a", "webhook:https://h.example/a"),
        ("webhook:http://h.example/a", "webhook:http://h.example/A"),
        ("webhook:http://h.example/?a=1", "webhook:http://h.example/?a=2"),
        ("webhook:http://u:p@h.example/", "webhook:http://u:q@h.example/"),
        ("webhook:http://h.example/", "webhook:http://h.example:8080/"),
        ("mqtt://10.0.0.7", "mqtt://10.0.0.8"),
        ("mqtt://10.0.0.7", "mqtts://10.0.0.7"),
        ("tcp://127.0.0.1:9", "tcp://[::1]:9"),  # two listeners, each with its own clients
    ],
)
def test_two_places_are_two(harness: SinkHarness, first: str, second: str) -> None:
    assert len(prepare_all([first, second], harness.view)) == 2
