"""The log's summary at the end of a run."""

from __future__ import annotations

from pathlib import Path

import msgspec

from soundwatch.daemon.app.summary import run_summary
from soundwatch.daemon.core.config import JournalConfig
from soundwatch.daemon.status.snapshot import SourceStatus, StatusSnapshot
from support.journal_factory import hello


def test_it_counts_the_events_of_all_sources_and_names_the_command_that_prints_them(tmp_path: Path) -> None:
    path = tmp_path / "my journal.db"
    line = hello("siren", "dog_bark")
    later = msgspec.structs.replace(line, stream_start="2027-01-01T00:00:00.000Z")
    snapshot = StatusSnapshot(
        {
            "yard": SourceStatus(hello=line, events={"siren": 1, "dog_bark": 1}),
            "street": SourceStatus(hello=later, events={"siren": 2}),
            "never": SourceStatus(),
        }
    )
    assert run_summary(snapshot, JournalConfig(path=str(path))) == {
        "events": "siren 3, dog_bark 1",
        "journal": str(path),
        "read": f"soundwatch tail --journal '{path}' --since {line.stream_start}",
    }


def test_a_journal_in_memory_cannot_be_read_by_commands() -> None:
    summary = run_summary(StatusSnapshot({"mic0": SourceStatus()}), JournalConfig(path="memory"))
    assert summary == {"events": "none", "journal": "memory: not stored"}
