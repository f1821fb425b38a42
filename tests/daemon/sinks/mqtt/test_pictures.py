"""Pictures of clips by MQTT, with a real Mosquitto."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.config.config import ClipsConfig, Config
from soundwatch.daemon.events.schema import ClipLine, with_seq
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.sinks.mqtt.home_assistant import Device, discovery_payload
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
    (tmp_path / "B.flac").write_bytes(b"sound")
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
    for name in ("A", "B"):
        (tmp_path / f"{name}.flac").write_bytes(b"sound")
    log = MemoryLogger()
    lines = entries(
        clip_line(tmp_path, "A"), clip_line(tmp_path, "B"), clip_line(tmp_path, "gone", "yard"),
        clip_line(tmp_path, "C", "roof"),
    )  # fmt: skip
    found = picture_messages(lines, Topics("edge1"), tmp_path, log, "mqtt")
    assert [(message.topic, message.payload, message.retained) for message in found] == [(PICTURE, b"B", False)]
    assert log.events == []


def test_a_picture_that_cannot_be_read_is_logged_and_blocks_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("A.flac", "A.png"):
        (tmp_path / name).write_bytes(b"content")
    monkeypatch.setattr(Path, "read_bytes", _fail)
    log = MemoryLogger()
    assert picture_messages(entries(clip_line(tmp_path, "A")), Topics("edge1"), tmp_path, log, "mqtt") == []
    assert log.events == ["mqtt_picture_unreadable"]


def _fail(_: Path) -> bytes:
    raise OSError(errno.EIO, os.strerror(errno.EIO))


@pytest.mark.parametrize("picture", ["", ".", "a/b", "../secret.png", "/etc/passwd", "A.flac", "\x00.png", "x" * 300])
def test_a_line_with_a_bad_name_of_a_picture_publishes_nothing_and_fails_no_sink(tmp_path: Path, picture: str) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "A.flac").write_bytes(b"sound")
    (tmp_path / "secret.png").write_bytes(b"secret")
    line = msgspec.structs.replace(clip_line(folder, "A"), picture=picture)
    assert picture_messages(entries(line), Topics("edge1"), folder, MemoryLogger(), "mqtt") == []


@pytest.mark.parametrize("pictures", [True, False])
def test_an_image_is_described_only_where_pictures_are_published(pictures: bool) -> None:
    components = json.loads(discovery_payload(Device("edge1", ["mic0"], ["siren"], 0, pictures=pictures)))["components"]
    assert ("mic0_picture" in components) == pictures
