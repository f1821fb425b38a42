"""One writer for each journal under any name; and a journal that is removed while open."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.events.schema import UNNUMBERED, GapLine
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.journal import Journal
from soundwatch.daemon.journal.location import open_for_reading, open_for_writing
from soundwatch.daemon.journal.store import JournalStore
from support.memory_logger import MemoryLogger

LIMITS = RetentionLimits(1e9, 10**9)
TIME = "2026-11-26T00:00:00.000Z"
SECOND_PROGRAM = """
import sys
from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.location import open_for_writing
from support.memory_logger import MemoryLogger
for path in sys.argv[1:]:
    try:
        open_for_writing(JournalConfig(path=path), MemoryLogger())
    except StoreError as error:
        print(error)
    else:
        print("opened")
"""


def gap() -> GapLine:
    return GapLine(seq=UNNUMBERED, time=TIME, node="n", source="s", start=TIME, duration_s=1.0, reason="capture")


def same_path(path: Path) -> Path:
    return path


def without_lock_file(path: Path) -> Path:
    path.with_name(f"{path.name}.lock").unlink()
    return path


def symbolic_link(path: Path) -> Path:
    link = path.with_name("link.db")
    link.symlink_to(path)
    return link


def link_to_folder(path: Path) -> Path:
    (path.parent.parent / "other").symlink_to(path.parent)
    return path.parent.parent / "other" / path.name


def hard_link(path: Path) -> Path:
    link = path.with_name("hard.db")
    os.link(path, link)
    return link


def other_spelling(path: Path) -> Path:
    return path.parent / "x" / ".." / path.name


SPELLINGS: tuple[Callable[[Path], Path], ...] = (
    same_path,
    without_lock_file,
    symbolic_link,
    link_to_folder,
    hard_link,
    other_spelling,
)


@pytest.fixture(scope="module")
def refusals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return what a second program reports of open journals, one for each spelling of its path."""
    stores, paths = [], []
    for spelling in SPELLINGS:
        path = tmp_path_factory.mktemp(spelling.__name__) / "state" / "journal.db"
        (path.parent / "x").mkdir(parents=True)
        stores.append(open_for_writing(JournalConfig(path=str(path)), MemoryLogger()))
        paths.append(str(spelling(path)))
    done = subprocess.run(
        [sys.executable, "-c", SECOND_PROGRAM, *paths],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[3])},
        capture_output=True,
        text=True,
        check=True,
    )
    for store in stores:
        store.close()
    return dict(zip([spelling.__name__ for spelling in SPELLINGS], done.stdout.splitlines(), strict=True))


@pytest.mark.parametrize("spelling", [spelling.__name__ for spelling in SPELLINGS])
def test_a_second_writer_is_refused_with_any_spelling_of_the_path(refusals: dict[str, str], spelling: str) -> None:
    assert "is in use by another soundwatch, process" in refusals[spelling]


def test_a_journal_is_free_when_its_writer_has_closed_it(tmp_path: Path) -> None:
    config = JournalConfig(path=str(tmp_path / "journal.db"))
    for _ in range(2):
        open_for_writing(config, MemoryLogger()).close()


@pytest.mark.parametrize("umask", [0o000, 0o022])
def test_a_journal_and_its_log_are_for_their_owner_alone(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        store = open_for_writing(JournalConfig(path=str(tmp_path / "journal.db")), MemoryLogger())
    finally:
        os.umask(before)
    modes = {file.name: file.stat().st_mode & 0o777 for file in tmp_path.iterdir()}
    assert set(modes.values()) == {0o600}, modes
    store.close()


def delete(path: Path) -> None:
    path.unlink()


def delete_all(path: Path) -> None:
    for file in path.parent.iterdir():
        file.unlink()


def delete_folder(path: Path) -> None:
    delete_all(path)
    path.parent.rmdir()


def rename(path: Path) -> None:
    path.rename(path.with_name("old.db"))


def replace_by_another_journal(path: Path) -> None:
    other = JournalStore(path.with_name("new.db"))
    other.close()
    path.with_name("new.db").replace(path)


def replace_by_text(path: Path) -> None:
    path.unlink()
    path.write_text("an unrelated text")


@pytest.mark.parametrize(
    "damage", [delete, delete_all, delete_folder, rename, replace_by_another_journal, replace_by_text]
)
def test_a_journal_that_is_deleted_or_replaced_while_it_is_open_is_written_again(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    config, log = JournalConfig(path=str(tmp_path / "state" / "journal.db")), MemoryLogger()
    journal = Journal(open_for_writing(config, log), LIMITS, "n", log)
    for _ in range(5):
        journal.append(gap())
    journal.flush()
    damage(tmp_path / "state" / "journal.db")
    for _ in range(5):
        journal.append(gap())
    journal.flush()
    journal.close()
    assert log.events == ["journal_restored"]
    reader = open_for_reading(config)
    assert [entry.seq for entry in reader.read_after(0, 100)] == list(range(1, 12)), "ten gaps and a health line"
    reader.close()
    open_for_writing(config, MemoryLogger()).close()
    if damage is replace_by_text:
        renamed = (tmp_path / "state").glob("journal.db.replaced-*")
        assert "an unrelated text" in [file.read_text(errors="replace") for file in renamed]


def test_a_journal_replaced_by_one_in_use_is_kept_in_memory_and_reported(tmp_path: Path) -> None:
    path, log = tmp_path / "journal.db", MemoryLogger()
    journal = Journal(open_for_writing(JournalConfig(path=str(path)), log), LIMITS, "n", log)
    journal.append(gap())
    journal.flush()
    other = open_for_writing(JournalConfig(path=str(tmp_path / "other.db")), MemoryLogger())
    (tmp_path / "other.db").replace(path)
    journal.append(gap())
    journal.flush()
    assert log.events == ["journal_failed"]
    assert "in use by another soundwatch" in str(log.fields("journal_failed")[0]["error"])
    assert len(journal.read_after(0)) == 3
    journal.close()
    other.close()


def test_a_store_that_was_refused_leaves_the_number_of_the_writer(tmp_path: Path) -> None:
    config = JournalConfig(path=str(tmp_path / "journal.db"))
    store = open_for_writing(config, MemoryLogger())
    with pytest.raises(StoreError, match=f"process {os.getpid()}"):
        open_for_writing(config, MemoryLogger())
    assert (tmp_path / "journal.db.lock").read_text().split()[0] == str(os.getpid())
    store.close()
