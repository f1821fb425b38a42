"""Links to clips, and the borders between machines of one broker, with a real Mosquitto."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.core.errors import ConfigError
from soundwatch.daemon.events.schema import ClipLine
from soundwatch.daemon.sinks.mqtt.home_assistant import Device, discovery_payload
from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY
from support.sink_harness import SinkHarness

CLIP = "soundwatch/edge1/mic0/clip"
PAGE = "https://balcony.lan:8433"


def clip_line(id_: str, *, written: bool = True) -> ClipLine:
    return ClipLine(
        seq=0,
        time="2026-11-22T08:00:20.000Z",
        node="edge1",
        source="mic0",
        id=id_,
        class_="dog_bark",
        file=f"{id_}.flac" if written else None,
        path=f"/clips/{id_}.flac" if written else None,
        reason=None if written else "speech",
        start="2026-11-22T08:00:00.000Z",
        duration_s=12.5,
        lost_s=0.0,
        bytes=100_000 if written else None,
        rate_hz=44_100,
        channels=1,
    )


def test_the_link_of_a_written_clip_is_published_and_its_sensor_described(
    mosquitto: Mosquitto, listener: Listener
) -> None:
    harness = SinkHarness()
    harness.view = replace(harness.view, config=lambda: Config(clips=ClipsConfig(folder="/clips")))
    worker = harness.open(f"mqtt://{mosquitto.address},page={PAGE}/")
    for line in (clip_line("A", written=False), clip_line("B")):
        harness.journal.append(line)
    harness.wait_for(worker)
    wait_until(lambda: listener.last(CLIP))
    assert [json.loads(payload) for payload in listener.payloads(CLIP)] == [
        {
            "id": "B",
            "source": "mic0",
            "class": "dog_bark",
            "start": "2026-11-22T08:00:00.000Z",
            "duration_s": 12.5,
            "url": f"{PAGE}/api/clips/B",
        }
    ]
    described = json.loads(retained_messages(mosquitto.port)[DISCOVERY])["components"]["mic0_clip"]
    assert (described["state_topic"], described["json_attributes_topic"]) == (CLIP, CLIP)
    harness.close()


def test_without_a_page_or_without_clips_nothing_is_described() -> None:
    assert "mic0_clip" not in json.loads(discovery_payload(Device("edge1", ["mic0"], ["siren"], 0)))["components"]
    with_clips = json.loads(discovery_payload(Device("edge1", ["mic0"], ["siren"], 0, clips=True)))["components"]
    assert with_clips["mic0_clip"]["unique_id"] == "soundwatch_edge1_mic0_clip"


@pytest.mark.parametrize(
    "page",
    [
        *("balcony.lan", "ftp://balcony.lan", "https://me:pw@balcony.lan", "https://h/?a=1"),
        *("http://[x", "http://h:99999", "http://h:0", "http://a..b", "http://h/a b"),
    ],
)
def test_a_page_that_is_no_url_is_refused(page: str) -> None:
    harness = SinkHarness()
    with pytest.raises(ConfigError, match="is not the URL of the page"):
        harness.prepare(f"mqtt://127.0.0.1,page={page}")
    harness.close()


def test_a_machine_that_loses_sources_and_discovery_removes_nothing_of_another(
    mosquitto: Mosquitto, tmp_path: Path
) -> None:
    other = SinkHarness(node="edge10", sources=("mic0", "yard"))  # a name that begins with that of the first
    other.open(f"mqtt://{mosquitto.address}")
    before = SinkHarness(tmp_path / "journal.db", sources=("mic0", "yard"))
    before.open(f"mqtt://{mosquitto.address}")
    wait_until(lambda: {"soundwatch/edge1/yard/status", DISCOVERY} <= set(retained_messages(mosquitto.port)))
    before.close()

    def of_other() -> dict[str, bytes]:
        found = retained_messages(mosquitto.port)
        return {topic: payload for topic, payload in found.items() if "edge10" in topic}

    kept = of_other()
    now = SinkHarness(tmp_path / "journal.db", classes=("dog_bark",))
    now.open(f"mqtt://{mosquitto.address},discovery=0")
    wait_until(lambda: not {"soundwatch/edge1/yard/status", DISCOVERY} & set(retained_messages(mosquitto.port)))
    assert of_other() == kept
    now.close()
    other.close()
