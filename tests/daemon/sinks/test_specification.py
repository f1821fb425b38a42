"""Sinks on real files and pipes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from soundwatch.daemon.core.errors import ConfigError, SinkError
from soundwatch.daemon.events.schema import LINE_TYPES, json_schema
from soundwatch.daemon.sinks.file import FileSink, open_file
from soundwatch.daemon.sinks.kinds import parse_sink


def test_lines_are_appended_and_there_as_soon_as_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"before\n")
    sink = open_file(str(path))
    sink.write(b"one\n")
    assert path.read_bytes() == b"before\none\n"
    sink.close()
    sink.close()


def test_an_unknown_kind_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match="-F yaml names no known sink; one of these was expected: json"):
        parse_sink("yaml")


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="cannot be opened for events: No such file or directory"):
        open_file(f"{tmp_path}/no/events.jsonl")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_is_an_error_of_the_line() -> None:
    sink = open_file("/dev/full")
    with pytest.raises(OSError, match="No space left"):
        sink.write(b"one\n")
    sink.close()


def test_a_line_after_a_torn_one_starts_on_its_own(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    sink = FileSink("file", os.open(path, os.O_WRONLY | os.O_CREAT), path)
    real_write = os.write
    room = [3, 0]

    def write_until_full(file_descriptor: int, text: bytes) -> int:
        return real_write(file_descriptor, text[: room.pop(0)]) if room else real_write(file_descriptor, text)

    monkeypatch.setattr(os, "write", write_until_full)
    with pytest.raises(OSError, match="No space left"):
        sink.write(b"broken\n")
    sink.write(b"whole\n")
    sink.close()
    assert path.read_bytes() == b"bro\nwhole\n"


def test_lines_can_be_filtered_by_every_stored_type() -> None:
    kept = [part["properties"] for part in json_schema()["$defs"].values() if "seq" in part["properties"]]
    types = {type_ for part in kept for type_ in part["type"].get("enum", [part["type"].get("const")])}
    assert types == set(LINE_TYPES)
