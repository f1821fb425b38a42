"""The API of a running server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.config.source import SourceConfig, SourceDetectionConfig
from soundwatch.daemon.sinks.protocols import SinkStatus
from support.fakes import SMALL_CONTRACT
from support.journal_factory import hello
from support.noon_zone import NOON_ZONE
from support.web_harness import IDS, NODE, RULES, Site, a_site, event_line, lost_line, reading


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    (tmp_path / "clips").mkdir()
    with a_site(config=Config(clips=ClipsConfig(folder=str(tmp_path / "clips")))) as site:
        yield site


def events(site: Site, **query: Any) -> list[str]:
    answer = site.get("/api/events", params=query)
    assert answer.status_code == 200, answer.text
    return [event["id"] for event in answer.json()["events"]]


def test_an_event_is_listed_once_with_its_last_line(site: Site) -> None:
    site.append(event_line(1), event_line(2), event_line(1, "update", score=0.7), event_line(1, "end", peak_score=0.95))
    first, second = site.get("/api/events").json()["events"]
    assert (first["id"], first["active"], first["offset"]) == (IDS[2], True, None)
    assert (second["id"], second["active"], second["peak_score"]) == (IDS[1], False, 0.95)
    assert second["reason"] == "decay"
    assert second["seq"] == 1, "its first line's"
    assert second["clip"] is second["label"] is None
    assert site.get(f"/api/events/{IDS[1]}").json() == second


def test_the_level_of_an_event_is_that_of_its_start_as_in_tables(site: Site) -> None:
    site.append(
        event_line(1, level_dbfs=-30.0),
        event_line(1, "update", level_dbfs=-40.0),
        event_line(1, "end", level_dbfs=-70.0),
    )
    event = site.get(f"/api/events/{IDS[1]}").json()
    assert (event["level_dbfs"], event["peak_level_dbfs"]) == (-30.0, -30.0)
    assert "peak_level_dba" not in event, "the sound level meter is off"
    levels = {"level_dba": 40.0, "peak_level_dba": 71.5, "calibrated": True}
    site.append(event_line(2, level_dbfs=None), event_line(2, "end", level_dbfs=-20.0, **levels))
    event = site.get(f"/api/events/{IDS[2]}").json()
    assert (event["level_dbfs"], event["peak_level_dbfs"]) == (None, -20.0)
    assert {name: event[name] for name in levels} == levels


def test_events_can_be_filtered_by_class_source_and_time(site: Site) -> None:
    site.append(
        event_line(1),
        event_line(2, class_="high", peak_score=0.99),
        event_line(3, source="yard"),
        event_line(63, peak_score=0.5),
    )
    assert events(site) == [IDS[63], IDS[3], IDS[2], IDS[1]]
    assert events(site, **{"class": "high"}) == [IDS[2]]
    assert events(site, source="yard") == [IDS[3]]
    assert events(site, min_score=0.9) == [IDS[3], IDS[2], IDS[1]]
    assert events(site, since="2026-11-22T08:00:02Z", until="2026-11-22T08:00:03Z") == [IDS[2]]
    assert events(site, since="2026-11-22T09:00:02+01:00", until="2026-11-22T09:00:03+01:00") == [IDS[2]]
    assert events(site, text="YARD") == [IDS[3]]
    assert events(site, text="hig") == [IDS[2]]
    assert events(site, text="' OR 1=1 --") == []
    assert events(site, text="%") == []


def test_pages_of_events_have_each_event_once_while_new_ones_arrive(site: Site) -> None:
    site.append(*(event_line(number) for number in range(7)))
    first = site.get("/api/events", params={"limit": 3}).json()
    site.append(event_line(8), event_line(2, "end"))
    second = site.get("/api/events", params={"limit": 3, "before": first["next"]}).json()
    third = site.get("/api/events", params={"limit": 3, "before": second["next"]}).json()
    got = [event["id"] for page in (first, second, third) for event in page["events"]]
    assert got == [IDS[number] for number in (6, 5, 4, 3, 2, 1, 0)]
    assert third["next"] is None


@pytest.mark.parametrize(
    ("query", "error"),
    [
        ("clas=low", "did you mean class?"),
        ("limit=0", ">= 1"),
        ("limit=many", "int"),
        ("min_score=2", "<= 1"),
        ("since=yesterday", "since is wrong: a time with its zone was expected, as 2026-11-22T08:15:00Z."),
        ("since=2026-13-22T08:00:00Z", "is not a time"),
        ("since=17", "a time with its zone"),
        ("since=2026-11-22T08:00:00", "a time with its zone"),
        ("class=low&class=high", "given twice"),
        ("text=%ff", "UTF-8"),
        ("text=%00", "a NUL character"),
        ("&".join(f"k{number}=1" for number in range(30)), "at most 20 parameters"),
    ],
)
def test_a_wrong_query_is_refused_with_the_reason(site: Site, query: str, error: str) -> None:
    answer = site.get(f"/api/events?{query}")
    assert answer.status_code == 400
    assert error in answer.json()["error"]


def test_a_label_of_an_event_is_stored_and_can_be_removed(site: Site) -> None:
    site.append(event_line(1))
    path = f"/api/events/{IDS[1]}/label"
    with site.client() as client:
        right = client.post(path, json={"right": True}).json()["label"]
        assert (right["right"], right["class"]) == (True, "low")
        wrong = client.post(path, json={"right": False, "class": "high"}).json()["label"]
        assert (wrong["right"], wrong["class"]) == (False, "high")
        assert events(site, text="high") == [IDS[1]], "it is found by what it was"
        none = client.post(path, json={"right": False, "class": None}).json()["label"]
        assert (none["right"], none["class"]) == (False, None)
        assert site.journal.store.query("SELECT id, class FROM labels") == [(IDS[1], None)]
        assert client.delete(path).json()["label"] is None
        assert client.get(f"/api/events/{IDS[1]}").json()["label"] is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"{}",
        b'{"right":1}',
        b'{"right":true,"x":1}',
        b'{"right":false,"class":"cat"}',
        b'{"right":false,"class":"low"}',
        b"\xff",
    ],
)
def test_a_label_that_means_nothing_is_refused(site: Site, body: bytes) -> None:
    site.append(event_line(1))
    with site.client(headers={"Content-Type": "application/json"}) as client:
        answer = client.post(f"/api/events/{IDS[1]}/label", content=body)
    assert answer.status_code == 422
    assert answer.json()["error"]
    assert site.journal.store.query("SELECT * FROM labels") == []


def test_an_event_that_is_not_there_has_no_label(site: Site) -> None:
    with site.client() as client:
        for name in (IDS[5], "x", "%00", "'"):
            assert client.post(f"/api/events/{name}/label", json={"right": True}).status_code == 404
            assert client.get(f"/api/events/{name}").status_code == 404


def test_lines_come_as_they_were_written_from_any_number_on(site: Site) -> None:
    site.append(event_line(1), event_line(2), event_line(3))
    answer = site.get("/api/lines", params={"since": 1, "limit": 1}).json()
    assert [line["seq"] for line in answer["lines"]] == [2]
    assert answer["lines"][0] == json.loads(site.journal.read_after(1)[0].line)
    assert answer["last_seq"] == 3


def test_events_are_counted_by_quarters_of_an_hour(site: Site) -> None:
    site.append(*(event_line(60 * minute + (minute == 1)) for minute in (0, 1, 14)), event_line(15 * 60, class_="high"))
    assert site.get("/api/counts").json()["counts"] == [
        {"class": "low", "time": "2026-11-22T08:00:00.000Z", "events": 3},
        {"class": "high", "time": "2026-11-22T08:15:00.000Z", "events": 1},
    ]
    later = site.get("/api/counts", params={"since": "2026-11-22T08:14:00Z"}).json()["counts"]
    assert [count["events"] for count in later] == [1, 1]


def test_statistics_of_a_day_and_a_week_are_those_of_the_digest(site: Site) -> None:
    site.append(event_line(1), event_line(1, "end"), event_line(2, class_="high"))
    date = datetime(2026, 11, 22, 8, tzinfo=UTC).astimezone(ZoneInfo(NOON_ZONE)).date()
    day = site.get(f"/api/statistics?period=day&date={date}").json()
    assert (day["events"], [(row["class"], row["events"]) for row in day["classes"]]) == (2, [("high", 1), ("low", 1)])
    assert len(day["hours"]) in (23, 24, 25)
    week = site.get("/api/statistics?period=week&date=2026-11-18").json()
    assert (week["first_day"], week["events"]) == ("2026-11-16", 2)
    assert site.get("/api/statistics").json()["period"] == "day"
    refused = site.get("/api/statistics?date=9999-12-31")
    assert refused.json()["error"] == "date is wrong: a day of this century was expected, as 2026-11-22."
    refused = site.get("/api/statistics?date=2026-02-30")
    assert (refused.status_code, refused.json()["error"][:24]) == (400, "2026-02-30 is not a date")


def test_a_source_is_reported_with_its_last_window(site: Site) -> None:
    site.view.live.publish(reading())
    site.append(event_line(1))
    mic0, yard = site.get("/api/sources").json()["sources"]
    assert (mic0["name"], mic0["active"], mic0["events"]) == ("mic0", [IDS[1]], {"low": 1})
    last = mic0["last"]
    assert (last["level_dbfs"], last["scores"], last["delay_ms"]) == (-30.0, {"low": 0.75, "high": 0.25}, 20.0)
    assert last["coverage"] == 0.9
    assert (mic0["state"], mic0["hearing"]) == ("opening", "opening")
    assert (yard["state"], yard["last"]) == ("opening", None)


def test_tags_are_in_the_last_window_and_in_an_event(site: Site) -> None:
    window = reading(tags=("speech", "rain"), tag_values=np.array([0.5, 0.25], np.float32))
    site.view.live.publish(window)
    source, *_ = site.get("/api/sources").json()["sources"]
    assert source["last"]["tags"] == {"speech": 0.5, "rain": 0.25}
    site.append(event_line(1, also={"speech": 0.5}, experimental=True), event_line(2))
    later, first = site.get("/api/events").json()["events"]
    assert (first["also"], first["experimental"]) == ({"speech": 0.5}, True)
    assert not {"also", "experimental"} & set(later)


def test_a_source_that_delivers_sound_is_running_and_keeps_its_former_word(site: Site) -> None:
    site.append(hello("low"))
    mic0, _ = site.get("/api/sources").json()["sources"]
    assert (mic0["state"], mic0["hearing"]) == ("running", "heard")


def test_a_source_is_paused_and_resumed_by_its_name(site: Site) -> None:
    with site.client() as client:
        assert client.post("/api/sources/mic0/pause", json={}).status_code == 202
        assert client.post("/api/sources/mic0/resume", json={}).json() == {"source": "mic0", "listen": True}
        assert client.post("/api/sources/cellar/pause", json={}).status_code == 404
        assert client.get("/api/sources/mic0/pause").status_code == 405
    assert site.switched == [("mic0", False), ("mic0", True)]


def test_health_lists_the_problems_as_text() -> None:
    failing = SinkStatus("broker", "failing", "Connection refused", 0, 3, 0)
    with a_site(sinks=[(failing, 7)]) as site:
        site.append(lost_line())
        health = site.get("/api/health").json()
        assert site.get("/api/sinks").json()["sinks"] == [
            {
                "name": "broker",
                "state": "failing",
                "reason": "Connection refused",
                "since": "1970-01-01T00:00:00.000Z",
                "behind_lines": 7,
                "lost_lines": 0,
                "skipped_lines": 0,
            }
        ]
    assert health["state"] == "poor"
    assert health["problems"] == [
        "mic0 delivers no sound: mic0 was unplugged.",
        "broker is failing: Connection refused",
    ]
    assert health["journal"] == {"state": "memory", "dropped_lines": 0}


def test_all_is_well_where_nothing_is_wrong(site: Site) -> None:
    health = site.get("/api/health").json()
    assert (health["state"], health["problems"], health["node"]) == ("good", [], NODE)
    assert health["uncalibrated"] == ["yard"]
    assert health["calibrate"] == "soundwatch calibrate --background 3600 --source yard"


def test_the_model_is_reported_with_its_contract(site: Site) -> None:
    model = site.get("/api/model").json()
    assert model["identity"] == SMALL_CONTRACT.identity
    assert model["contract"]["labels"] == ["low", "high"]
    assert model["card"].startswith("# urban"), "the configuration names that file"
    assert site.get("/api/classes").json()["classes"] == [
        {"name": "low", "threshold": 0.5},
        {"name": "high", "threshold": None},
    ]


def test_rules_are_reported_with_their_decisions_and_outputs() -> None:
    with a_site(rules=RULES) as site:
        siren, dogs = site.get("/api/rules").json()["rules"]
    assert (siren["decided"], siren["held"], siren["waiting"]) == (12, {"not_when.cooldown_s": 3, "then.limit": 1}, 1)
    assert siren["last_decided"] == "2026-11-18T11:06:40.000Z"
    assert [(one["name"], one["state"], one["sent"], one["late"], one["refused"]) for one in siren["outputs"]] == [
        ("apprise:ntfys#1a2b3c", "working", 10, 2, 1),
        ("webhook:a.example#4d5e6f", "failing", 0, 0, 0),
    ]
    assert (dogs["enabled"], dogs["last_decided"], dogs["outputs"]) == (False, None, [])


def test_settings_in_force_are_reported_with_their_origin() -> None:
    quiet = SourceConfig(gain_db=6.0, detection=SourceDetectionConfig(threshold=0.8))
    with a_site(config=Config(sources={"mic0": quiet})) as site:
        answer = site.get("/api/settings").json()
    assert answer["schedules"] == []
    mic0, yard = ({row["key"]: (row["value"], row["origin"]) for row in one["settings"]} for one in answer["sources"])
    assert mic0["gain_db"] == (6.0, "sources.mic0.gain_db")
    assert mic0["detection.threshold"] == (0.8, "sources.mic0.detection.threshold")
    assert yard["detection.threshold"] == (0.5, f"model {SMALL_CONTRACT.identity}")
