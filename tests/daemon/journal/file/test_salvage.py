"""Damaged journals: readable rows, cursors, labels and numbers survive, and the rest is counted."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
from soundwatch.daemon.journal.entry import Cursor, RetentionLimits, StoredLine
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import open_for_reading
from soundwatch.daemon.journal.queries.events import find_damage
from soundwatch.daemon.journal.queries.labels import all_labels, set_label
from soundwatch.daemon.journal.store import JournalStore
from support.memory_logger import MemoryLogger

LINES = 300
PAGE_BYTES = 4096
TIME = "2026-11-26T00:00:00.000Z"


def row(seq: int) -> StoredLine:
    kind = ("start", "end")[seq % 2] if seq < LINES else "start"
    line = json.dumps({"seq": seq, "time": TIME, "type": kind, "filler": "x" * 600}).encode() + b"\n"
    return StoredLine(seq, TIME, kind, "mic0", "siren", f"EVENT{seq // 2}", line)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A journal that was closed: 300 lines of 600 bytes, a cursor, a label, an open event."""
    path = tmp_path / "journal.db"
    store = JournalStore(path)
    store.commit([row(seq) for seq in range(1, LINES + 1)], [("mqtt", Cursor(LINES, LINES - 9))])
    set_label(store, "EVENT1", TIME, "dog_bark")
    store.close()
    return path


def pages_of(path: Path, table: str) -> list[int]:
    """Return the numbers of the leaf pages of a table or an index, from 0."""
    db = sqlite3.connect(path)
    root = db.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (table,)).fetchone()[0]
    db.close()
    data = path.read_bytes()
    interior, leaf = (5, 13) if table == "lines" else (2, 10)
    pages, found = [root - 1], list[int]()
    while pages:
        page = pages.pop(0)
        start = page * PAGE_BYTES
        if data[start] == leaf:
            found.append(page)
        elif data[start] == interior:
            cells = int.from_bytes(data[start + 3 : start + 5], "big")
            for cell in range(cells):
                offset = int.from_bytes(data[start + 12 + 2 * cell : start + 14 + 2 * cell], "big")
                pages.append(int.from_bytes(data[start + offset : start + offset + 4], "big") - 1)
            pages.append(int.from_bytes(data[start + 8 : start + 12], "big") - 1)
    return found


def overwrite(path: Path, page: int, content: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(content)


def seqs(store: JournalStore) -> list[int]:
    return [entry.seq for entry in store.read_after(0, 10_000)]


@pytest.mark.parametrize("content", [bytes(PAGE_BYTES), b"\xff" * PAGE_BYTES, bytes(range(256)) * 16, b"\x0d" * 100])
@pytest.mark.parametrize("place", [0, 7, -1])
def test_one_bad_page_costs_the_lines_on_it_and_they_are_counted(path: Path, place: int, content: bytes) -> None:
    overwrite(path, pages_of(path, "lines")[place], content)
    store = JournalStore(path)
    assert store.salvaged is not None
    kept = seqs(store)
    assert len(kept) >= LINES - 12
    assert store.salvaged.lines == len(kept)
    assert store.salvaged.unreadable_lines == LINES - len(kept)
    assert store.last_seq() == LINES
    assert store.cursors() == {"mqtt": Cursor(LINES, LINES - 9)}
    assert all_labels(store) == [("EVENT1", "dog_bark")]
    assert store.quarantined_path is not None
    assert store.quarantined_path.exists()
    store.commit([row(LINES + 1)])
    store.close()


@pytest.mark.parametrize("content", [bytes(PAGE_BYTES), b"not a database at all" * 20, bytes(100)])
def test_a_bad_first_page_costs_no_line(path: Path, content: bytes) -> None:
    overwrite(path, 0, content)
    store = JournalStore(path)
    assert store.salvaged is not None
    assert (store.salvaged.lines, store.salvaged.unreadable_lines) == (LINES, 0)
    assert seqs(store) == list(range(1, LINES + 1))
    assert store.cursors() == {"mqtt": Cursor(LINES, LINES - 9)}
    store.close()
    assert store.quarantined_path is not None
    assert {file.name for file in path.parent.iterdir()} == {path.name, store.quarantined_path.name}


@pytest.mark.parametrize("name", [b"TABLE lines", b"INDEX lines_id", b"TABLE cursors"])
def test_a_schema_whose_text_is_not_utf8_costs_no_line(path: Path, name: bytes) -> None:
    content = path.read_bytes()
    assert name in content
    path.write_bytes(content.replace(name, name.replace(b" ", b" \x80")[: len(name)]))
    store = JournalStore(path)
    assert seqs(store) == list(range(1, LINES + 1))
    store.close()


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9])
def test_a_file_that_was_cut_short_keeps_the_lines_before_the_cut(path: Path, keep: float) -> None:
    os.truncate(path, int(path.stat().st_size * keep) // PAGE_BYTES * PAGE_BYTES)
    store = JournalStore(path)
    assert store.salvaged is None or store.salvaged.lines + store.salvaged.unreadable_lines == LINES
    assert store.last_seq() == LINES
    store.close()


def test_a_journal_without_readable_lines_keeps_its_numbering(path: Path) -> None:
    for page in pages_of(path, "lines"):
        overwrite(path, page, bytes(PAGE_BYTES))
    store = JournalStore(path)
    assert store.salvaged is not None
    assert (store.salvaged.lines, store.salvaged.unreadable_lines) == (0, LINES)
    assert store.last_seq() == LINES
    store.close()


def other_order(db: sqlite3.Connection) -> None:
    """Let an index have another order than its definition."""
    db.execute("UPDATE sqlite_master SET sql = replace(sql, 'id, seq', 'seq, id') WHERE name = 'lines_id'")


def missing_entry(db: sqlite3.Connection) -> None:
    """Add a row that an index does not have."""
    sql, root = db.execute("SELECT sql, rootpage FROM sqlite_master WHERE name = 'lines_time'").fetchone()
    file = db.execute("PRAGMA database_list").fetchone()[2]
    db.execute("DELETE FROM sqlite_master WHERE name = 'lines_time'")
    db.execute("PRAGMA schema_version = 99")
    db.commit()
    other = sqlite3.connect(file)
    other.execute(
        "INSERT INTO lines VALUES (301, 't', 'gap', NULL, NULL, NULL, ?)", (b'{"seq":301,"time":"t","type":"gap"}\n',)
    )
    other.commit()
    other.close()
    db.execute("INSERT INTO sqlite_master VALUES ('index', 'lines_time', 'lines', ?, ?)", (root, sql))


@pytest.mark.parametrize("damage", [other_order, missing_entry])
def test_an_index_that_disagrees_with_its_table_is_rebuilt(
    path: Path, damage: Callable[[sqlite3.Connection], None]
) -> None:
    db = sqlite3.connect(path)
    db.execute("PRAGMA writable_schema = ON")
    damage(db)
    db.commit()
    db.close()
    store = JournalStore(path)
    assert store.salvaged is None, "no row is lost, so nothing has to be copied"
    assert find_damage(store) is None
    assert seqs(store)[:LINES] == list(range(1, LINES + 1))
    assert len(store.open_events()) >= 1
    store.trim(RetentionLimits(0.0, 10**9))
    store.close()


def test_a_bad_page_of_an_index_costs_no_line(path: Path) -> None:
    overwrite(path, pages_of(path, "lines_id")[0], bytes(PAGE_BYTES))
    store = JournalStore(path)
    assert seqs(store) == list(range(1, LINES + 1))
    assert find_damage(store) is None
    store.close()


def test_the_journal_reports_lost_lines_and_keeps_open_events(path: Path) -> None:
    overwrite(path, pages_of(path, "lines")[3], bytes(PAGE_BYTES))
    log, store = MemoryLogger(), JournalStore(path)
    assert store.salvaged is not None
    lost = store.salvaged.unreadable_lines
    assert b'"seq": 300' in store.open_events()[-1]
    journal = Journal(store, RetentionLimits(1e9, 10**9), "n", log)
    journal.flush()
    line = json.loads(journal.read_after(LINES)[0].line)
    assert (line["seq"], line["type"], line["state"], line["dropped_lines"]) == (LINES + 1, "health", "working", lost)
    assert f"{lost} could not be read" in line["detail"]
    assert log.fields("journal_salvaged")[0]["unreadable_lines"] == lost
    journal.close()


def test_damage_that_a_reader_meets_while_the_program_runs_is_salvaged(path: Path) -> None:
    log = MemoryLogger()
    journal = Journal(JournalStore(path), RetentionLimits(1e9, 10**9), "n", log)
    journal.store.query("PRAGMA cache_size = 0")
    overwrite(path, pages_of(path, "lines")[0], bytes(PAGE_BYTES))
    journal.store.query("PRAGMA shrink_memory")
    with pytest.raises(sqlite3.DatabaseError):
        journal.read_after(0)
    gap = GapLine(seq=UNNUMBERED, time=TIME, node="n", source="s", start=TIME, duration_s=1.0, reason="capture")
    journal.append(gap)
    journal.flush()
    assert log.fields("journal_salvaged")
    assert journal.read_after(LINES)[0].seq == LINES + 1
    journal.close()


def test_a_reader_of_a_damaged_journal_reports_it_and_changes_nothing(path: Path) -> None:
    overwrite(path, pages_of(path, "lines")[0], bytes(PAGE_BYTES))
    before = path.read_bytes()
    store = open_for_reading(JournalConfig(path=str(path)))
    with pytest.raises(StoreError, match=r"journal\.db cannot be read: .*`soundwatch run` salvages"):
        store.read_after(0, 1000)
    store.close()
    assert path.read_bytes() == before


@pytest.mark.parametrize("place", [b'"seq"', b'"type"', b'"time"', b'"filler"'])
def test_a_flipped_bit_in_a_line_costs_that_line_and_it_is_counted(path: Path, place: bytes) -> None:
    data = bytearray(path.read_bytes())
    at = data.index(place, data.index(b'"seq": 100,'))
    data[at] ^= 1
    path.write_bytes(data)
    store = JournalStore(path)
    assert store.salvaged is not None
    assert store.salvaged.unreadable_lines == 1
    assert len(seqs(store)) == LINES - 1
    assert store.last_seq() == LINES
    store.close()
    again = JournalStore(path)
    assert again.salvaged is None
    again.close()


@pytest.mark.parametrize(
    ("defined", "damaged"),
    [
        (b"seq INTEGER PRIMARY KEY AUTOINCREMENT", b"sep INTEGER PRIMARY KEY AUTOINCREMENT"),
        (b"line BLOB NOT NULL", b"lime BLOB NOT NULL"),
        (b"attempted INTEGER NOT NULL", b"attempteD INTEGER NOT NULL"),
        (b"labels (id TEXT PRIMARY KEY, time", b"labels (id TEXT PRIMARY KEY, tame"),
        (b"identity (id TEXT", b"identity (ie TEXT"),
        (b"runtime (run_s REAL", b"runtime (run_r REAL"),
    ],
)
def test_a_table_whose_column_has_another_name_is_salvaged_whole(path: Path, defined: bytes, damaged: bytes) -> None:
    data = path.read_bytes()
    assert data.count(defined) == 1
    path.write_bytes(data.replace(defined, damaged))
    store = JournalStore(path)
    assert store.salvaged is not None
    assert store.salvaged.unreadable_lines == 0
    assert len(seqs(store)) == LINES
    assert store.cursors() == {"mqtt": Cursor(LINES, LINES - 9)}
    assert all_labels(store) == [("EVENT1", "dog_bark")]
    store.commit([row(LINES + 1)])
    store.close()


def test_a_database_of_another_program_is_never_salvaged(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    with contextlib.closing(sqlite3.connect(path)) as db:
        db.executescript("CREATE TABLE lines (product, price); CREATE TABLE labels (text); PRAGMA user_version = 3;")
    before = path.read_bytes()
    with pytest.raises(StoreError):
        JournalStore(path)
    assert path.read_bytes()[100:] == before[100:]
    assert list(tmp_path.glob("*damaged*")) == []
