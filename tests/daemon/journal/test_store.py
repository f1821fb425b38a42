"""The journal's file: what is kept, what is dropped, and what a full disk or a damaged file does to it."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from soundwatch.daemon.core.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.entry import Cursor
from soundwatch.daemon.journal.location import open_for_writing
from soundwatch.daemon.journal.store import MEMORY, JournalStore, RetentionLimits, StoredLine
from support.memory_logger import MemoryLogger


def row(
    seq: int, kind: str = "gap", event_id: str | None = None, size: int = 10, time: str = "2026-11-26"
) -> StoredLine:
    line = json.dumps({"seq": seq, "filler": "x" * size}).encode() + b"\n"
    return StoredLine(seq, f"{time}T{seq % 24:02}:00:00.000Z", kind, "mic0", "siren", event_id, line)


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


def test_lines_are_there_after_the_file_is_opened_again_and_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    store.commit([row(1), row(2)], [("mqtt", Cursor(2, 1))])
    store.close()
    again = JournalStore(path)
    assert [entry.seq for entry in again.after(0, 10)] == [1, 2]
    assert again.after(1, 10)[0].line == row(2).line
    assert again.last_seq() == 2
    assert again.cursors() == {"mqtt": Cursor(2, 1)}


def test_numbers_go_on_even_where_all_lines_were_dropped(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(1), row(2)])
    assert store.drop_oldest(1.0) == 2
    store.close()
    assert JournalStore(tmp_path / "journal.db").last_seq() == 2


def test_all_of_a_commit_is_kept_or_none(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    with pytest.raises(sqlite3.IntegrityError):
        store.commit([row(1), row(1)], [("mqtt", Cursor(1, 1))])
    assert store.after(0, 10) == []
    assert store.cursors() == {}


def test_an_event_is_open_until_its_end_is_kept() -> None:
    store = JournalStore(MEMORY)
    store.commit([row(1, "start", "a"), row(2, "start", "b"), row(3, "update", "a"), row(4, "end", "b"), row(5)])
    assert [json.loads(line)["seq"] for line in store.open_events()] == [3]


def test_lines_that_are_too_old_are_dropped() -> None:
    store = JournalStore(MEMORY)
    store.commit([row(1, time="2026-01-01"), row(2)])
    assert store.trim(RetentionLimits(0, 10**9), "2026-06-01") == 1
    assert [entry.seq for entry in store.after(0, 10)] == [2]


def test_a_file_that_is_too_large_loses_its_oldest_tenth(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.commit([row(seq, size=1000) for seq in range(1, 1001)])
    assert store.trim(RetentionLimits(0, 500_000), "") == 100
    assert store.after(0, 1)[0].seq == 101


@pytest.mark.slow
def test_a_full_disk_keeps_the_newest_lines_and_says_how_many_old_ones_went(small_disk: Path) -> None:
    store = JournalStore(small_disk / "journal.db")
    store.commit([row(seq, size=400) for seq in range(1, 501)])
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    assert os.statvfs(small_disk).f_bavail == 0
    dropped = sum(store.commit([row(seq, size=400)]) for seq in range(501, 6001))
    kept = [entry.seq for entry in store.after(0, 100_000)]
    assert dropped > 0
    assert kept == list(range(dropped + 1, 6001))
    assert len(kept) > 500, "no fewer than there were before"


def test_a_journal_on_a_disk_without_room_is_kept_in_memory_and_that_is_said(small_disk: Path) -> None:
    (small_disk / "filler").write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_bsize))
    log = MemoryLogger()
    store = open_for_writing(JournalConfig(path=str(small_disk / "journal.db")), log)
    assert store.path == MEMORY
    assert log.events == ["there is no journal: events are kept in memory, and are gone when this program ends"]


@pytest.mark.parametrize("place", [0, 5000])
def test_a_damaged_file_is_put_aside_and_a_new_one_begun(tmp_path: Path, place: int) -> None:
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    store.commit([row(seq, size=1000) for seq in range(1, 200)])
    store.close()
    with path.open("r+b") as file:
        file.seek(place)
        file.write(os.urandom(4096 * 200))
    store = JournalStore(path)
    if store.quarantined_path is None:  # the damage shows only when something is read or written
        with pytest.raises(sqlite3.DatabaseError):
            store.commit([row(200)])
        store.renew(199)
    assert store.quarantined_path is not None
    assert store.quarantined_path.exists()
    store.commit([row(200)])
    assert [entry.seq for entry in store.after(0, 10)] == [200]


def test_a_text_file_is_put_aside_too_rather_than_lost(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    path.write_text("dear diary, today I heard a dog\n" * 100)
    store = JournalStore(path)
    assert store.quarantined_path is not None
    assert store.quarantined_path.read_text().startswith("dear diary")


def test_a_journal_of_a_later_release_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    JournalStore(path).close()
    other = sqlite3.connect(path)
    other.execute("PRAGMA user_version = 7")
    other.close()
    with pytest.raises(StoreError, match="format 7; this release reads 1"):
        JournalStore(path)


def test_a_reader_sees_what_a_writer_goes_on_to_write_and_cannot_write_itself(tmp_path: Path) -> None:
    writer = JournalStore(tmp_path / "journal.db")
    reader = JournalStore(tmp_path / "journal.db", writing=False)
    writer.commit([row(1)])
    assert [entry.seq for entry in reader.after(0, 10)] == [1]
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.commit([row(2)])


@pytest.mark.slow
def test_a_journals_identity_lasts_as_long_as_its_numbers_go_on(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    identity = store.identity()
    store.close()
    store = JournalStore(path)
    assert store.identity() == identity
    store.renew(7)
    assert store.identity() == identity, "its numbers go on"
    store.close()
    path.write_bytes(b"no journal" * 1000)
    for other in (path, tmp_path / "other.db"):
        store = JournalStore(other)
        assert store.identity() != identity, "its numbers begin again"
        store.close()
