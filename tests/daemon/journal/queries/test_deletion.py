"""Lines that were deleted on request are counted as lost by no reader."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.journal import journal as journal_module
from soundwatch.daemon.journal.entry import JournalEntry
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.queries.deletion import delete_events, lost_lines
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks.dispatcher import SinkDispatcher
from soundwatch.daemon.sinks.spec import PreparedSink
from support.memory_logger import MemoryLogger
from support.sink_harness import SinkHarness


class Reader:
    """A sink that stores lines, or fails while it is `away`."""

    def __init__(self) -> None:
        self.lines: list[dict[str, Any]] = []
        self.away = False

    def deliver(self, entries: Sequence[JournalEntry]) -> None:
        if self.away:
            raise OSError("away")
        self.lines += [json.loads(entry.encoded) for entry in entries]

    def close(self) -> None:
        pass


@pytest.fixture
def harness(tmp_path: Path) -> SinkHarness:
    return SinkHarness(tmp_path / "journal.db")


def prepared(reader: Reader) -> PreparedSink:
    return PreparedSink("reader", ("reader",), lambda: reader, lambda: None, durable=True)


def delete(journal: Journal, *ids: str) -> None:
    delete_events(journal, ids, "by a test", "edge1", 0)
    journal.flush()


def test_a_sink_that_is_removed_and_added_again_continues_at_its_place_and_misses_no_deleted_line(
    harness: SinkHarness,
) -> None:
    journal, log, reader = harness.journal, MemoryLogger(), Reader()
    sinks = SinkDispatcher(log, lambda _: None)
    worker = sinks.add(prepared(reader), journal)
    harness.event("start", "A")
    journal.flush()
    sinks.remove([worker])
    for id_ in "BCD":
        harness.event("start", id_)
        harness.event("end", id_)
    delete(journal, "B", "C")
    sinks.add(prepared(reader), journal)
    assert sinks.close() == {}
    assert [line["seq"] for line in reader.lines] == [1, 6, 7, 8], "lines 2 to 5 were deleted"
    assert sinks.statuses()[0][0].lost_lines == 0
    assert log.events == []
    journal.close()


def test_lines_that_the_journal_dropped_count_beside_deleted_ones(harness: SinkHarness) -> None:
    for id_ in "ABC":
        harness.event("start", id_)
    delete(harness.journal, "B")
    store = harness.journal.store
    store.drop_oldest(0.4)
    assert lost_lines(store, 0, 3) == 1
    assert lost_lines(store, 1, 3) == 0
    assert lost_lines(store, 2, 3) == 0
    harness.journal.close()


def test_a_removed_sink_is_no_reader_whose_lines_are_reported_as_dropped(
    harness: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_module, "TRIM_S", 0.0)
    journal, reader = harness.journal, Reader()
    sinks = SinkDispatcher(MemoryLogger(), lambda _: None)
    worker = sinks.add(prepared(reader), journal)
    sinks.remove([worker])
    for _ in range(20):
        harness.event("start")
    journal.flush()
    journal._limits = replace(journal._limits, max_bytes=0)  # all lines are too many
    harness.event("end")
    journal.flush()
    assert journal.dropped_lines == 0
    journal.close()
    assert "journal_lines_dropped" not in harness.log.events


def test_deleted_lines_are_not_unreadable_ones_of_a_damaged_journal(harness: SinkHarness, tmp_path: Path) -> None:
    for id_ in "ABC":
        harness.event("start", id_)
    delete(harness.journal, "B")
    harness.journal.close()
    path = tmp_path / "journal.db"
    with path.open("r+b") as file:
        file.write(bytes(100))  # the header of the first page
    store = JournalStore(path)
    assert store.salvaged is not None
    assert (store.salvaged.lines, store.salvaged.unreadable_lines) == (3, 0)
    assert lost_lines(store, 1, 3) == 0
    store.close()
