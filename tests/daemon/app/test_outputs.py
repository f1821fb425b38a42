"""Failures of sinks over a restart."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from soundwatch.daemon.app.outputs import Outputs
from soundwatch.daemon.app.sink_line import append_sink_line, failing_sinks
from soundwatch.daemon.config.config import Config
from soundwatch.daemon.journal import health as health_module
from soundwatch.daemon.journal.health import JournalHealth
from soundwatch.daemon.sinks.protocols import SinkStatus
from support.sink_harness import SinkHarness


def sink_lines(harness: SinkHarness) -> list[tuple[Any, ...]]:
    harness.journal.flush()
    lines = [json.loads(entry.line) for entry in harness.journal.store.read_after(0, 1000)]
    return [(line["sink"], line["state"], line["detail"]) for line in lines if line.get("reason") == "sink"]


def test_a_failure_that_was_reported_ends_after_a_restart(tmp_path: Path) -> None:
    path, events = tmp_path / "j.db", tmp_path / "events.jsonl"
    before = SinkHarness(path)
    for name, state in ((str(events), "failing"), ("old", "failing"), ("works", "failing"), ("works", "working")):
        append_sink_line(before.view, SinkStatus(name, state, "away"))  # type: ignore[arg-type]
    before.event("start")
    before.close()
    after = SinkHarness(path)
    assert failing_sinks(after.journal.store) == {str(events), "old"}
    view = replace(after.view, config=lambda: Config(sinks=(f"json:{events}",)))
    outputs = Outputs(view, lambda _: None)
    outputs.open_all()
    after.event("end")
    outputs.close()
    assert sorted(sink_lines(after)[4:]) == [
        (str(events), "working", f"{events} works again."),
        ("old", "working", "old is no longer in the configuration."),
    ]
    assert failing_sinks(after.journal.store) == set()
    after.close()


def test_a_journal_that_dropped_lines_before_a_restart_says_that_it_has_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = SinkHarness(tmp_path / "j.db")
    JournalHealth(before.journal.store, "edge1", before.log, before.journal.append).dropped(3)
    before.close()
    monkeypatch.setattr(health_module, "DROPPING_ENDS_S", 0.0)
    after = SinkHarness(tmp_path / "j.db")
    after.event("start")
    after.close()
    assert after.log.events[:1] == ["journal_dropping_ended"]
