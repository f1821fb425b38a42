"""A journal, and short pauses between deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.store import JournalStore
from soundwatch.daemon.sinks import worker as worker_module
from support.memory_logger import MemoryLogger


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(worker_module, "LONGEST_PAUSE_S", 0.05)


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    journal = Journal(JournalStore(tmp_path / "journal.db"), RetentionLimits(1e9, 10**9), "n", MemoryLogger())
    yield journal
    journal.close()
