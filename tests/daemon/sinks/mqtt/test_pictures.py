"""Pictures of clips by MQTT, with a real Mosquitto."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.core.config import ClipsConfig, Config
from soundwatch.daemon.events.schema import ClipLine, with_seq
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.mqtt.home_assistant import discovery_payload
from soundwatch.daemon.sinks.mqtt.pictures import picture_messages
from soundwatch.daemon.sinks.mqtt.topics import Topics
from support.memory_logger import MemoryLogger
from support.mosquitto import Listener, Mosquitto, retained_messages, wait_until
from support.mqtt_topics import DISCOVERY
from support.sink_harness import SinkHarness

PICTURE = "soundwatch/edge1/mic0/picture"


def clip_line(folder: Path, name: str, source: str = "mic0") -> ClipLine:
    return ClipLine(
        seq=0, time="2026-11-22T08:00:20.000Z", node="edge1", source=source, id=name, class_="siren",
        file=f"{name}.flac", path=str(folder / f"{name}.flac"), reason=None, start="2026-11-22T08:00:00.000Z",
        duration_s=2.0, lost_s=0.0, bytes=1, rate_hz=44_100, channels=1, picture=f"{name}.png",
    )  # fmt: skip


def entries(*lines: ClipLine) -> list[JournalEntry]:
    return [JournalEntry(seq, msgspec.json.encode(with_seq(line, seq))) for seq, line in enumerate(lines, 1)]


def test_the_picture_of_a_clip_is_published_and_is_an_image_entity(
    mosquitto: Mosquitto, listener: Listener, tmp_path: Path
) -> None:
    harness = SinkHarness()
    config = Config(clips=ClipsConfig(folder=str(tmp_path), pictures=True))
    harness.view = replace(harness.view, config=lambda: config)
    worker = harness.open(f"mqtt://{mosquitto.address},pictures=1")
    (tmp_path / "B.png").write_bytes(b"\x89PNG of B")
    harness.journal.append(clip_line(tmp_path, "B"))
    harness.wait_for(worker)
    wait_until(lambda: listener.last(PICTURE))
    assert listener.payloads(PICTURE) == [b"\x89PNG of B"]
    retained = retained_messages(mosquitto.port)
    assert PICTURE not in retained, "the broker keeps no picture after its clip was deleted"
    described = json.loads(retained[DISCOVERY])["components"]["mic0_picture"]
    assert (described["platform"], described["image_topic"], described["content_type"]) == (
        "image", PICTURE, "image/png",
    )  # fmt: skip
    harness.close()


def test_only_the_newest_picture_of_a_source_is_published_and_a_deleted_one_is_left_out(tmp_path: Path) -> None:
    for name in ("A", "B", "C"):
        (tmp_path / f"{name}.png").write_bytes(name.encode())
    log = MemoryLogger()
    lines = entries(clip_line(tmp_path, "A"), clip_line(tmp_path, "B"), clip_line(tmp_path, "gone", "yard"))
    found = picture_messages(lines, Topics("edge1"), log, "mqtt")
    assert [(message.topic, message.payload, message.retained) for message in found] == [(PICTURE, b"B", False)]
    assert log.events == []


def test_a_picture_that_cannot_be_read_is_logged_and_blocks_nothing(tmp_path: Path) -> None:
    (tmp_path / "A.png").mkdir()
    log = MemoryLogger()
    assert picture_messages(entries(clip_line(tmp_path, "A")), Topics("edge1"), log, "mqtt") == []
    assert log.events == ["mqtt_picture_unreadable"]


@pytest.mark.parametrize("pictures", [True, False])
def test_an_image_is_described_only_where_pictures_are_published(pictures: bool) -> None:
    components = json.loads(discovery_payload("edge1", ["mic0"], ["siren"], 0, pictures=pictures))["components"]
    assert ("mic0_picture" in components) == pictures
