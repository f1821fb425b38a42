"""The journal's file: retention, and the effects of a full disk and of damage."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.entry import Cursor, RetentionLimits, StoredLine
from soundwatch.daemon.journal.file.migrations import FORMAT
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.location import open_for_writing
from soundwatch.daemon.journal.store import JournalStore
from support.memory_logger import MemoryLogger


def row(
    seq: int, kind: str = "gap", event_id: str | None = None, size: int = 10, time: str = "2026-11-26"
) -> StoredLine:
    moment = f"{time}T{seq % 24:02}:00:00.000Z"
    line = json.dumps({"seq": seq, "time": moment, "type": kind, "filler": "x" * size}).encode() + b"\n"
    return StoredLine(seq, moment, kind, "mic0", "siren", event_id, line)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of eight megabytes."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=False, capture_output=True
    )
    if mounted.returncode:
        pytest.skip("a small disk cannot be mounted here: it takes root")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)


def test_lines_survive_a_restart_and_numbers_continue(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    store.commit([row(1), row(2)], [("mqtt", Cursor(2, 1))])
    store.close()
    again = JournalStore(path)
    assert [entry.seq for entry in again.read_after(0, 10)] == [1, 2]
    assert again.read_after(1, 10)[0].line == row(2).line
    assert again.last_seq() == 2
    assert again.cursors() == {"mqtt": Cursor(2, 1)}


def test_numbers_continue_after_all_lines_were_dropped(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(1), row(2)])
    assert store.drop_oldest(1.0) == 2
    store.close()
    assert JournalStore(tmp_path / "journal.db").last_seq() == 2


def test_a_commit_is_stored_completely_or_not_at_all(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([row(1), row(1)], [("mqtt", Cursor(1, 1))])
    assert store.read_after(0, 10) == []
    assert store.cursors() == {}


def test_an_event_is_open_until_its_end_is_kept() -> None:
    store = JournalStore(MEMORY)
    store.commit([row(1, "start", "a"), row(2, "start", "b"), row(3, "update", "a"), row(4, "end", "b"), row(5)])
    assert [json.loads(line)["seq"] for line in store.open_events()] == [3]


class Steady:
    """A steady clock that a test sets."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> int:
        return round(self.now_s * 1e9)


DAY_S = 86_400.0
MONTH = RetentionLimits(30 * DAY_S, 10**9)


def seqs(store: JournalStore) -> list[int]:
    return [entry.seq for entry in store.read_after(0, 100_000)]


def test_lines_are_removed_when_the_program_ran_for_longer_than_their_limit(tmp_path: Path) -> None:
    clock = Steady()
    store = JournalStore(tmp_path / "journal.db", steady_ns=clock)
    for day in range(40):
        clock.now_s = day * DAY_S
        store.commit([row(day + 1)])
        store.trim(MONTH)
    assert seqs(store) == list(range(11, 41))


@pytest.mark.parametrize("time", ["1970-01-01", "1999-12-31", "2026-11-26", "2036-01-01", "9999-12-31"])
def test_the_age_of_a_line_does_not_depend_on_its_time(tmp_path: Path, time: str) -> None:
    clock = Steady()
    store = JournalStore(tmp_path / "journal.db", steady_ns=clock)
    store.commit([row(1, time=time), row(2, time="2026-11-26"), row(3, time=time)])
    assert store.trim(MONTH).removed_lines == 0
    clock.now_s = 29 * DAY_S
    assert store.trim(MONTH).removed_lines == 0
    clock.now_s = 30.1 * DAY_S
    assert store.trim(MONTH).removed_lines == 3


def test_the_age_counts_running_time_only(tmp_path: Path) -> None:
    clock = Steady()
    store = JournalStore(tmp_path / "journal.db", steady_ns=clock)
    store.commit([row(1)])
    store.trim(MONTH)
    clock.now_s = 20 * DAY_S
    store.trim(MONTH)
    store.close()
    later = Steady()
    store = JournalStore(tmp_path / "journal.db", steady_ns=later)
    later.now_s = 9 * DAY_S
    assert store.trim(MONTH).removed_lines == 0
    later.now_s = 10.1 * DAY_S
    assert store.trim(MONTH).removed_lines == 1


def test_a_journal_of_an_earlier_release_keeps_all_lines_at_its_first_start(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(1, time="2001-01-01")])
    store.transaction(lambda db: db.executescript("DROP TABLE ages; DROP TABLE runtime; PRAGMA user_version = 1"))
    store.close()
    store = JournalStore(tmp_path / "journal.db")
    assert store.trim(MONTH).removed_lines == 0


def test_removed_lines_that_a_sink_had_not_confirmed_are_counted(tmp_path: Path) -> None:
    clock = Steady()
    store = JournalStore(tmp_path / "journal.db", steady_ns=clock)
    store.commit([row(seq) for seq in range(1, 11)])
    store.trim(MONTH)
    clock.now_s = 31 * DAY_S
    trimmed = store.trim(MONTH, delivered_seq=6)
    assert (trimmed.removed_lines, trimmed.undelivered_lines) == (10, 4)


def test_a_file_that_is_too_large_loses_its_oldest_tenth(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(seq, size=1000) for seq in range(1, 1001)])
    assert store.trim(RetentionLimits(1e9, 500_000)).removed_lines == 100
    assert store.read_after(0, 1)[0].seq == 101


@pytest.mark.slow
def test_a_full_disk_keeps_the_newest_lines_and_counts_the_removed_ones(small_disk: Path) -> None:
    store = JournalStore(small_disk / "journal.db")
    store.commit([row(seq, size=400) for seq in range(1, 501)])
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    assert os.statvfs(small_disk).f_bavail == 0
    dropped = sum(store.commit([row(seq, size=400)]) for seq in range(501, 6001))
    kept = [entry.seq for entry in store.read_after(0, 100_000)]
    assert dropped > 0
    assert kept == list(range(dropped + 1, 6001))
    assert len(kept) > 500, "no fewer than there were before"


def test_a_journal_on_a_full_disk_is_kept_in_memory_and_reported(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    log = MemoryLogger()
    store = open_for_writing(JournalConfig(path=str(small_disk / "journal.db")), log)
    assert store.path == MEMORY
    assert log.events == ["journal_in_memory"]


def test_a_text_file_is_renamed_rather_than_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("an unrelated text file of a user\n" * 100)
    store = JournalStore(path)
    assert store.quarantined_path is not None
    assert store.quarantined_path.read_text().startswith("an unrelated text")
    assert store.last_seq() == 0


def test_a_journal_of_a_later_release_is_refused_and_unchanged(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    JournalStore(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 7")
    other.close()
    with pytest.raises(StoreError, match=f"format 7; this release reads up to {FORMAT}"):
        JournalStore(path)


def test_a_reader_sees_new_lines_and_cannot_write(tmp_path: Path) -> None:
    writer = JournalStore(tmp_path / "journal.db")
    reader = JournalStore(tmp_path / "journal.db", writing=False)
    writer.commit([row(1)])
    assert [entry.seq for entry in reader.read_after(0, 10)] == [1]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.commit([row(2)])


@pytest.mark.slow
def test_a_journals_identity_changes_only_with_its_numbering(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    identity = store.identity()
    store.close()
    store = JournalStore(path)
    assert store.identity() == identity
    store.recreate(7)
    assert store.identity() == identity, "its numbers continue"
    store.close()
    path.write_bytes(b"no journal" * 1000)
    for other in (path, tmp_path / "other.db"):
        store = JournalStore(other)
        assert store.identity() != identity, "its numbers begin again"
        store.close()
