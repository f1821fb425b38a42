"""The journal: numbering, readers that keep up and that do not, and disks that fail under it."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

import msgspec
import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine, Line
from soundwatch.daemon.journal import journal as journal_module
from soundwatch.daemon.journal.entry import Cursor, RetentionLimits, StoredLine
from soundwatch.daemon.journal.file.sqlite import MEMORY
from soundwatch.daemon.journal.journal import TAIL_LINES, Journal
from soundwatch.daemon.journal.location import journal_path, open_for_reading, open_for_writing
from soundwatch.daemon.journal.store import JournalStore
from support.memory_logger import MemoryLogger

LIMITS = RetentionLimits(1e9, 10**9)
WAIT_S = 60.0


def gap() -> GapLine:
    time = "2026-11-26T00:00:00.000Z"
    return GapLine(seq=UNNUMBERED, time=time, node="n", source="s", start=time, duration_s=1.0, reason="capture")


class Failing(JournalStore):
    """A file that fails on request."""

    def __init__(self, path: Path, error: Callable[[], sqlite3.Error]) -> None:
        super().__init__(path)
        self.error: Callable[[], sqlite3.Error] | None = error

    def commit(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]] = ()) -> int:
        if self.error is not None:
            raise self.error()
        return super().commit(rows, cursors)


@contextmanager
def opened(store: JournalStore, log: MemoryLogger | None = None, seen: list[Line] | None = None) -> Iterator[Journal]:
    journal = Journal(store, LIMITS, "n", log or MemoryLogger(), seen.append if seen is not None else lambda _: None)
    try:
        yield journal
    finally:
        journal.close()


def is_failing(journal: Journal) -> bool:
    return journal.failing


def numbers(journal: Journal) -> list[int]:
    found: list[int] = []
    while entries := journal.read_after(found[-1] if found else 0):
        found += [entry.seq for entry in entries]
    return found


def test_lines_are_numbered_without_holes_from_many_threads_and_over_a_restart(tmp_path: Path) -> None:
    with opened(JournalStore(tmp_path / "journal.db")) as journal:

        def append_500() -> None:
            for _ in range(500):
                journal.append(gap())

        threads = [threading.Thread(target=append_500, daemon=True) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        journal.flush()
        assert numbers(journal) == list(range(1, 2001))
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        journal.append(gap())
        journal.flush()
        assert journal.last_seq == 2001
        assert json.loads(journal.read_after(2000)[0].line)["seq"] == 2001


def test_a_reader_gets_a_line_only_once_it_is_in_the_file(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    there = threading.Event()
    kept: list[int] = []
    with opened(store) as journal:

        def look() -> None:
            other = sqlite3.connect(tmp_path / "journal.db")
            kept.append(other.execute("SELECT COUNT(*) FROM lines").fetchone()[0])
            there.set()

        journal.subscribe(look)
        journal.append(gap())
        assert there.wait(WAIT_S)
    assert kept == [1]


def test_a_slow_reader_reads_older_lines_from_the_file(tmp_path: Path) -> None:
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        for _ in range(3 * TAIL_LINES):
            journal.append(gap())
        journal.flush()
        assert numbers(journal) == list(range(1, 3 * TAIL_LINES + 1))
        assert [entry.seq for entry in journal.read_after(5, 3)] == [6, 7, 8]
        assert journal.read_after(3 * TAIL_LINES) == []


def test_a_new_sink_begins_with_the_next_line_and_a_known_one_where_it_was(tmp_path: Path) -> None:
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        journal.append(gap())
        journal.flush()
        assert journal.cursor("mqtt") == Cursor(1, 1)
        journal.set_cursor("mqtt", Cursor(5, 3), wait=True)
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        assert journal.cursor("mqtt") == Cursor(5, 3)


def test_a_sink_that_took_no_line_in_a_run_has_its_place_in_the_next_one(tmp_path: Path) -> None:
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        journal.append(gap())
        journal.flush()
        assert journal.cursor("mqtt") == Cursor(1, 1)  # a broker that is away, a share that hangs
        journal.append(gap())
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        assert journal.cursor("mqtt") == Cursor(1, 1)


def test_an_unwritable_disk_loses_no_line_and_is_used_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.05)
    log = MemoryLogger()
    store = Failing(tmp_path / "journal.db", lambda: _error(sqlite3.OperationalError, sqlite3.SQLITE_IOERR))
    with opened(store, log) as journal:
        for _ in range(10):
            journal.append(gap())
        journal.set_cursor("mqtt", Cursor(3, 3), wait=True)
        journal.flush()
        assert is_failing(journal)
        assert numbers(journal)[:10] == list(range(1, 11))
        store.error = None
        for _ in range(200):
            if not is_failing(journal):
                break
            threading.Event().wait(0.05)
        journal.append(gap())
        journal.flush()
        count = journal.last_seq
        assert numbers(journal) == list(range(1, count + 1))
    states = [json.loads(entry.line) for entry in JournalStore(tmp_path / "journal.db").read_after(0, 1000)]
    assert [line["seq"] for line in states] == list(range(1, count + 1))
    assert [line["state"] for line in states if line["type"] == "health"] == ["failing", "working"]
    assert JournalStore(tmp_path / "journal.db").cursors() == {"mqtt": Cursor(3, 3)}
    assert log.events == ["journal_failed", "journal_recovered"]


def test_a_damaged_file_is_kept_aside_and_numbers_continue(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    log = MemoryLogger()
    with opened(JournalStore(path), log) as journal:
        journal.append(gap())
        journal.flush()
        sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)")
        with path.open("r+b") as file:
            file.write(bytes(range(256)) * 4096)
        for _ in range(3):
            journal.append(gap())
            journal.flush()
        assert log.events == ["journal_salvaged"]
        assert [json.loads(entry.line)["seq"] for entry in journal.read_after(1)][:3] == [2, 3, 4]
    assert list(tmp_path.glob("journal.db.damaged-*"))


def test_each_line_is_shown_to_the_board_in_order(tmp_path: Path) -> None:
    seen: list[Line] = []
    with opened(JournalStore(MEMORY), seen=seen) as journal:
        for _ in range(3):
            journal.append(gap())
    assert [line.seq for line in seen] == [1, 2, 3]


def test_a_second_writer_is_refused_with_the_first_ones_number(tmp_path: Path) -> None:
    config = JournalConfig(path=str(tmp_path / "journal.db"))
    open_for_writing(config, MemoryLogger())
    with pytest.raises(StoreError, match=r"in use by another soundwatch, process \d+\. .*--journal memory"):
        open_for_writing(config, MemoryLogger())


def test_a_folder_that_is_not_there_is_made_and_one_that_cannot_be_is_an_error(tmp_path: Path) -> None:
    store = open_for_writing(JournalConfig(path=str(tmp_path / "new" / "journal.db")), MemoryLogger())
    assert (tmp_path / "new").stat().st_mode & 0o077 == 0
    store.close()
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreError, match="cannot be opened as a journal"):
        open_for_writing(JournalConfig(path=str(tmp_path / "file" / "journal.db")), MemoryLogger())


def test_a_default_file_that_cannot_be_created_is_reported_and_replaced_by_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "file" / "state"))
    log = MemoryLogger()
    store = open_for_writing(JournalConfig(), log)
    assert store.path == MEMORY
    assert log.events == ["journal_in_memory"]


def test_the_file_is_in_systemds_or_the_users_state_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/soundwatch:/other")
    assert journal_path(JournalConfig()) == Path("/var/lib/soundwatch/journal.db")
    monkeypatch.delenv("STATE_DIRECTORY")
    monkeypatch.setenv("XDG_STATE_HOME", "/home/me/.state")
    assert journal_path(JournalConfig()) == Path("/home/me/.state/soundwatch/journal.db")
    assert journal_path(JournalConfig(path="memory")) == MEMORY


def test_a_missing_journal_is_reported_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="There is no journal at"):
        open_for_reading(JournalConfig(path=str(tmp_path / "none.db")))


def _error(kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    error = kind("disk I/O error")
    error.sqlite_errorcode = code
    return error


class Broken(JournalStore):
    """A file whose next writes fail in a way that was not foreseen."""

    failures = 0

    def commit(self, rows: Sequence[StoredLine], cursors: Sequence[tuple[str, Cursor]] = ()) -> int:
        if rows and self.failures:
            self.failures -= 1
            raise MemoryError
        return super().commit(rows, cursors)


@pytest.mark.parametrize(("failures", "found", "dropped"), [(1, [1, 2], 0), (2, [2, 3], 1)])
def test_lines_of_a_step_that_fails_are_written_at_the_next_try_or_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failures: int, found: list[int], dropped: int
) -> None:
    monkeypatch.setattr(journal_module, "RETRY_S", 0.01)
    store, log = Broken(tmp_path / "journal.db"), MemoryLogger()
    with opened(store, log) as journal:
        store.failures = failures
        journal.append(gap())
        journal.set_cursor("sink", Cursor(0, 0))
        while log.events.count("journal_step_failed") < failures:
            threading.Event().wait(0.005)
        journal.append(gap())
        journal.flush()
        assert (numbers(journal), journal.dropped_lines) == (found, dropped)


def test_no_memory_to_take_lines_loses_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, usual: object = islice) -> None:
        monkeypatch.setattr(journal_module, "islice", usual)
        raise MemoryError

    log = MemoryLogger()
    with opened(JournalStore(tmp_path / "journal.db"), log) as journal:
        monkeypatch.setattr(journal_module, "islice", refuse)
        monkeypatch.setattr(journal_module, "RETRY_S", 0.01)
        journal.append(gap())
        journal.flush()
        assert (numbers(journal), journal.dropped_lines) == ([1], 0)
    assert log.events == ["journal_step_failed"]


def test_the_cursor_of_a_sink_whose_name_is_not_utf8_is_kept(tmp_path: Path) -> None:
    log = MemoryLogger()
    with opened(JournalStore(tmp_path / "journal.db"), log) as journal:
        journal.append(gap())
        journal.flush()
        journal.set_cursor("command:/x\udcff/p.sh", Cursor(1, 1), wait=True)
        journal.append(gap())
        journal.flush()
        assert numbers(journal) == [1, 2]
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        assert journal.cursor("command:/x\udcff/p.sh") == Cursor(1, 1)
    assert log.events == []


def test_a_line_that_cannot_be_encoded_takes_no_number(tmp_path: Path) -> None:
    with opened(JournalStore(tmp_path / "journal.db")) as journal:
        with pytest.raises(UnicodeEncodeError):
            journal.append(msgspec.structs.replace(gap(), source="\udcff"))
        journal.append(gap())
        journal.flush()
        assert numbers(journal) == [1]
