"""Files that earlier releases wrote, in `releases/`: each is what a daemon of that release left after a short run."""

from __future__ import annotations

import gzip
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.file.migrations import FORMAT, STEPS, copy_before_migration
from soundwatch.daemon.journal.file.views import VIEWS
from soundwatch.daemon.journal.location import open_for_reading, open_for_writing
from soundwatch.daemon.journal.queries.query import LineFilter, read_lines
from soundwatch.daemon.journal.store import JournalStore
from support.memory_logger import MemoryLogger

RELEASES = sorted((Path(__file__).parent / "releases").glob("*.db.gz"))
names = pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name.partition(".")[0])


@pytest.fixture
def config(tmp_path: Path, release: Path) -> JournalConfig:
    path = tmp_path / "journal.db"
    path.write_bytes(gzip.decompress(release.read_bytes()))
    return JournalConfig(path=str(path))


def format_of(path: Path) -> int:
    """Return `user_version`, from the header of the file."""
    return int.from_bytes(path.read_bytes()[60:64], "big")


def schema(path: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(path)) as db:
        return set(db.execute("SELECT type, name FROM sqlite_master"))


def content(path: Path, tables: tuple[str, ...] = ("lines", "cursors", "labels")) -> list[object]:
    with closing(sqlite3.connect(path)) as db:
        return [db.execute(f"SELECT * FROM {table}").fetchall() for table in tables]  # noqa: S608


@names
def test_a_file_of_an_earlier_release_is_migrated_without_a_loss(config: JournalConfig, tmp_path: Path) -> None:
    path, log = tmp_path / "journal.db", MemoryLogger()
    before, format_ = content(path), format_of(path)
    store = open_for_writing(config, log)
    assert log.events == ["journal_migrated"]
    assert store.query("PRAGMA user_version") == [(FORMAT,)]
    assert len(list(read_lines(store, LineFilter()))) >= 7
    assert store.migrated_from is not None
    copy = store.migrated_from
    store.close()
    JournalStore(tmp_path / "new.db").close()
    assert schema(path) == schema(tmp_path / "new.db")
    assert content(path) == before
    assert content(copy) == before, "the copy has the former content"
    assert copy.name.startswith(f"journal.db.format-{format_}-")
    assert copy.stat().st_mode & 0o777 == 0o600
    again = open_for_writing(config, log)
    assert again.migrated_from is None
    again.close()


@pytest.mark.parametrize("release", RELEASES[:1])
def test_upgrades_that_are_killed_leave_one_copy(config: JournalConfig, tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    for leftover in ("journal.db.format-1.part", "journal.db.format-1.part-journal"):
        (tmp_path / leftover).write_bytes(b"half")
    copies = [copy_before_migration(path) for _ in range(2)]  # a kill after the copy leaves the earlier format
    assert list(tmp_path.glob("*.format-*")) == copies[:1] == copies[1:]
    assert copies[0] is not None
    assert content(copies[0]) == content(path)
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("DELETE FROM cursors")
    changed = copy_before_migration(path)
    assert changed not in (None, copies[0]), "a copy of former content does not do"
    open_for_writing(config, MemoryLogger()).close()
    assert len(list(tmp_path.glob("*.format-*"))) == 2


@names
def test_a_damaged_column_of_an_earlier_release_is_salvaged_without_a_loss(
    config: JournalConfig, tmp_path: Path
) -> None:
    path = tmp_path / "journal.db"
    lines = content(path)[0]
    path.write_bytes(
        path.read_bytes().replace(b"    seq INTEGER PRIMARY KEY AUTO", b"    sdq INTEGER PRIMARY KEY AUTO", 1)
    )
    store = open_for_writing(config, MemoryLogger())
    store.close()
    assert store.salvaged is not None
    assert content(path)[0] == lines


@names
def test_a_reader_leaves_a_file_of_an_earlier_release_as_it_is(config: JournalConfig, tmp_path: Path) -> None:
    before = (tmp_path / "journal.db").read_bytes()
    store = open_for_reading(config)
    assert len(list(read_lines(store, LineFilter()))) >= 7
    store.close()
    assert (tmp_path / "journal.db").read_bytes() == before


@names
def test_a_migration_that_fails_leaves_the_former_format(
    config: JournalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    format_ = format_of(tmp_path / "journal.db")
    monkeypatch.setitem(STEPS, format_, f"{STEPS[format_]} CREATE TABLE lines (seq INTEGER);")
    with pytest.raises(Exception, match="table lines already exists"):
        open_for_writing(config, MemoryLogger())
    with closing(sqlite3.connect(tmp_path / "journal.db")) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (format_,)
    assert not list(tmp_path.glob("*.format-*"))
    monkeypatch.undo()
    store = open_for_writing(config, MemoryLogger())
    assert store.query("PRAGMA user_version") == [(FORMAT,)]
    store.close()


@pytest.mark.parametrize("release", RELEASES[:1])
@pytest.mark.parametrize("limit_bytes", [4096, 100_000], ids=["no room to open", "no room for the copy"])
def test_a_file_that_cannot_be_copied_on_a_full_disk_is_an_error_and_not_a_journal_in_memory(
    config: JournalConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit_bytes: int
) -> None:
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal.db"
    before = path.read_bytes()
    monkeypatch.setattr("soundwatch.daemon.journal.location.DISK_BYTES", sys.maxsize)
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit[1]))
    try:
        with pytest.raises(
            StoreError, match=r"of an earlier release, .*Free \d+ bytes on its disk, or .*--journal memory"
        ):
            open_for_writing(config, MemoryLogger())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limit)
    assert path.read_bytes() == before
    assert not list(tmp_path.glob("*.format-*")), "a service that is started again would fill the disk with copies"


def test_every_earlier_format_has_a_step_and_a_file() -> None:
    assert list(STEPS) == list(range(1, FORMAT))
    with_formats = set()
    for release in RELEASES:
        content_ = gzip.decompress(release.read_bytes())
        with_formats.add(int.from_bytes(content_[60:64], "big"))  # user_version in the header of the file
    assert with_formats == set(STEPS)


def test_views_of_another_release_are_replaced(tmp_path: Path) -> None:
    store = JournalStore(tmp_path / "journal.db")
    store.transaction(lambda db: db.executescript("DROP VIEW gaps; CREATE VIEW gaps AS SELECT 1 AS one"))
    store.close()
    store = JournalStore(tmp_path / "journal.db")
    found = dict(store.query("SELECT name, sql FROM sqlite_master WHERE type = 'view'"))
    assert found == {name: f"CREATE VIEW {name} AS {query.strip()}" for name, query in VIEWS.items()}
    store.close()
