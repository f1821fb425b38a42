"""Templates of the webhook sink: chat services, files of users, times and offsets."""

from __future__ import annotations

import json
import time
from datetime import datetime
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.sinks.webhook.templates import load_template, parse_time_zone, time_text
from support.sink_harness import SinkHarness
from support.webhook_server import Server


@pytest.mark.parametrize(
    ("template", "content_type", "body"),
    [
        (
            "slack",
            "application/json",
            {"text": 'dog bark at a&lt;b&gt;"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93'},
        ),
        (
            "discord",
            "application/json",
            {
                "content": 'dog bark at a<b>"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93',
                "allowed_mentions": {"parse": []},
            },
        ),
        ("ntfy", "text/plain; charset=utf-8", 'dog bark at a<b>"c" (edge1) since 2026-11-22 08:15:02 UTC, score 0.93'),
    ],
)
def test_chat_services_get_a_sentence_for_each_start(
    server: Server, template: str, content_type: str, body: object
) -> None:
    source = 'a<b>"c"'
    harness = SinkHarness(sources=(source,))
    worker = harness.open(f"webhook:http://{server.address},template={template}")
    harness.event("start", source=source)
    harness.event("end", source=source)
    harness.wait_for(worker)
    ((_, headers, said),) = server.requests
    assert headers["content-type"] == content_type
    assert (json.loads(said) if isinstance(body, dict) else said.decode()) == body
    harness.close()


def test_a_template_of_ones_own_is_filled_in(server: Server, tmp_path: Path) -> None:
    source = 'a "b" \\ c'
    harness = SinkHarness(sources=(source,))
    (tmp_path / "own.json").write_text('{"what": "$sound", "where": "${source}", "cost": "$$1", "offset": "$offset"}')
    (tmp_path / "own.txt").write_text("$class $type")
    workers = [
        harness.open(f"webhook:http://{server.address}/{kind},template={tmp_path}/own.{kind}")
        for kind in ("json", "txt")
    ]
    harness.event("start", source=source)
    for worker in workers:
        harness.wait_for(worker)
    bodies = {path: body for path, _, body in server.requests}
    assert json.loads(bodies["/json"]) == {"what": "dog bark", "where": source, "cost": "$1", "offset": ""}
    assert bodies["/txt"] == b"dog_bark start"
    harness.close()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ('{"a": "$clas"}', r"\$clas is no placeholder; did you mean \$class\?"),
        ('{"a": $class}', "makes no JSON"),
        ('{"a": "$ 5"}', "dollar sign"),
    ],
)
def test_a_template_that_cannot_work_is_refused(harness: SinkHarness, tmp_path: Path, words: str, message: str) -> None:
    (tmp_path / "own.json").write_text(words)
    with pytest.raises(ConfigError, match=message):
        harness.open(f"webhook:http://127.0.0.1,template={tmp_path}/own.json")


@pytest.mark.parametrize(
    ("now", "zone", "text"),
    [
        ("2026-11-22T09:00:00Z", "UTC", "08:15:02 UTC"),
        ("2026-11-23T00:00:00Z", "UTC", "2026-11-22 08:15:02 UTC"),
        ("2027-11-22T09:00:00Z", "UTC", "2026-11-22 08:15:02 UTC"),
        ("2026-11-22T09:00:00Z", "Europe/Berlin", "09:15:02 CET"),
        ("2026-11-22T09:00:00Z", "Asia/Kathmandu", "14:00:02 +0545"),
        ("2026-11-22T20:00:00Z", "Asia/Tokyo", "2026-11-22 17:15:02 JST"),
    ],
)
def test_times_for_people_have_a_zone_and_a_date_unless_it_is_todays(now: str, zone: str, text: str) -> None:
    local_now = datetime.fromisoformat(now).astimezone(parse_time_zone(zone))
    assert time_text("2026-11-22T08:15:02.418Z", local_now) == text


@pytest.mark.parametrize("zone", ["local", "Europe/Berlin"])
def test_a_time_before_a_change_of_clocks_has_the_offset_of_its_day(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        now = datetime.fromisoformat("2026-10-25T12:00:00Z").astimezone(parse_time_zone(zone))
        assert time_text("2026-10-24T23:30:00.000Z", now) == "01:30:00 CEST"
        assert time_text("2026-07-01T12:00:00.000Z", now) == "2026-07-01 14:00:00 CEST"
    finally:
        monkeypatch.undo()
        time.tzset()


def test_a_time_zone_that_is_unknown_is_refused(harness: SinkHarness) -> None:
    for zone in ("Mars/Olympus", "../../etc/passwd", ""):
        with pytest.raises(ConfigError, match="is no time zone"):
            harness.open(f"webhook:http://127.0.0.1,time_zone={zone}")


def test_chat_templates_skip_events_that_continue_another() -> None:
    for name in ("slack", "discord", "ntfy"):
        assert load_template(name).omits({"type": "start", "continues": "A"})
        assert not load_template(name).omits({"type": "start", "continues": None})
    assert not load_template("json").omits({"type": "start", "continues": "A"})


def test_an_end_has_the_offset(harness: SinkHarness, server: Server) -> None:
    worker = harness.open(f"webhook:http://{server.address},template=ntfy,types=end")
    harness.event("end")
    harness.wait_for(worker)
    assert server.requests[0][2].decode() == "dog bark at mic0 (edge1) ended 2026-11-22 08:15:02 UTC after 13.0 s"
