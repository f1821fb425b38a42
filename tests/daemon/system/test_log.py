"""The logger: entries, levels and field values."""

from __future__ import annotations

import pytest

from soundwatch.daemon.system.log import Level, LogEntry, StructuredLogger, plain_value
from support.memory_logger import MemoryLogger


@pytest.mark.parametrize(("level", "written"), [("debug", 4), ("info", 3), ("warning", 2), ("error", 1)])
def test_entries_below_the_level_are_left_out(level: Level, written: int) -> None:
    log = MemoryLogger(level)
    for write in (log.debug, log.info, log.warning, log.error):
        write("sink_failed")
    assert len(log.entries) == written


@pytest.mark.parametrize("name", ["event", "level", "timestamp"])
def test_a_field_with_a_reserved_name_is_kept_under_another(name: str) -> None:
    entries: list[LogEntry] = []
    StructuredLogger("info", entries.append).warning("clip_failed", **{name: "01JD8Z"})
    assert entries[0].event == "clip_failed"
    assert entries[0].fields == {f"{name}_": "01JD8Z"}


@pytest.mark.parametrize("name", ["self", "fields", "write"])
def test_a_field_named_like_a_parameter_is_a_field(name: str) -> None:
    log = MemoryLogger()
    log.info("sink_failed", **{name: 1})
    assert log.written == [("sink_failed", {name: 1})]


class Unprintable:
    def __str__(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (OSError("no room"), "no room"),
        ("mic \udcff", "mic \\udcff"),
        (2**70, str(2**70)),
        (("a", Unprintable()), ["a", "<Unprintable: RuntimeError in str()>"]),
        (b"\xff", "b'\\xff'"),
        (None, None),
        (0.5, 0.5),
        (True, True),
    ],
)
def test_every_value_becomes_one_that_can_be_written(value: object, plain: object) -> None:
    assert plain_value(value) == plain
