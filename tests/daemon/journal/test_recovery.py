"""The journal where its file was slow or could not be written: what readers then get."""

from __future__ import annotations

import sqlite3
import threading
from pathlib import Path

import pytest

from soundwatch.daemon.journal import journal as journals
from soundwatch.daemon.journal.store import JournalStore
from support.mosquitto import wait_until
from support.sink_harness import SinkHarness


def all_after(harness: SinkHarness, seq: int) -> list[int]:
    found = []
    while entries := harness.journal.read_after(seq, 7):
        found += [entry.seq for entry in entries]
        seq = entries[-1].seq
    return found


def test_lines_lost_by_a_hanging_disk_are_gaps_and_all_others_arrive_once(
    harness: SinkHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journals, "PENDING_LINES", 10)
    hanging, go_on, real = threading.Event(), threading.Event(), JournalStore.commit

    def commit(self: JournalStore, *arguments: object) -> int:
        hanging.set()
        go_on.wait(60)
        return real(self, *arguments)  # type: ignore[arg-type]

    harness.event("start")
    harness.journal.flush()
    monkeypatch.setattr(JournalStore, "commit", commit)
    harness.event("update")
    assert hanging.wait(60)
    for _ in range(30):
        harness.event("update")
    go_on.set()
    harness.journal.flush()
    assert harness.journal.dropped_lines == 20
    expected = [1, 2, *range(23, 33)]
    assert all_after(harness, 0) == expected
    for seq in range(33):
        assert all_after(harness, seq) == [item for item in expected if item > seq]


@pytest.mark.slow
def test_lines_in_memory_move_to_the_file_in_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "RETRY_S", 0.01)
    real, sizes, broken = JournalStore.commit, list[int](), threading.Event()

    def commit(self: JournalStore, rows: list[object], cursors: object = ()) -> int:
        if self.path != ":memory:":
            if broken.is_set():
                raise sqlite3.OperationalError("disk I/O error")  # without a code, as of the module itself
            sizes.append(len(rows))
        return real(self, rows, cursors)  # type: ignore[arg-type]

    harness = SinkHarness(tmp_path / "journal.db")
    monkeypatch.setattr(JournalStore, "commit", commit)
    broken.set()
    for _ in range(2 * journals.TRANSACTION_LINES + 50):
        harness.event("update")
    harness.journal.flush()
    assert harness.journal.failing
    before = all_after(harness, 0)
    broken.clear()
    wait_until(lambda: not harness.journal.failing)
    harness.journal.flush()
    assert max(sizes) <= journals.TRANSACTION_LINES
    after = all_after(harness, 0)
    assert after[: len(before)] == before
    assert after == list(range(1, len(after) + 1))
    assert [seq for (seq,) in harness.journal.store.query("SELECT seq FROM lines ORDER BY seq")] == after
    harness.close()
