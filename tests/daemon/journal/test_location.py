"""The process that writes to a journal."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.journal.entry import StoredLine
from soundwatch.daemon.journal.file.lock import JournalLock, pid_path, writer_pid
from soundwatch.daemon.journal.location import journal_path, open_for_labels, open_for_reading, open_for_writing
from soundwatch.daemon.journal.store import JournalStore
from support.disk_faults import small_disk
from support.memory_logger import MemoryLogger


def stored_line(seq: int) -> StoredLine:
    moment = "2026-11-26T00:00:00.000Z"
    line = f'{{"schema":"soundwatch.event/1","type":"gap","seq":{seq},"time":"{moment}"}}\n'
    return StoredLine(seq, moment, "gap", "mic0", None, None, line.encode())


def lock_of(journal: Path, process: int) -> Path:
    lock = journal.with_name(f"{journal.name}.lock")
    lock.write_text(str(process))
    return lock


def test_it_is_the_process_that_holds_the_lock(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    assert writer_pid(journal) is None
    with lock_of(journal, os.getpid()).open() as claim:
        fcntl.flock(claim, fcntl.LOCK_EX)
        assert writer_pid(journal) == os.getpid()


def test_the_writer_in_another_container_has_no_number_here(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    lock = JournalLock(journal)
    assert writer_pid(journal) == os.getpid()
    text = journal.with_name("journal.db.lock")
    text.write_text(f"{os.getpid()} pid:[1]")
    with pytest.raises(StoreError, match=r"is written by a soundwatch in another container, process \d+ there"):
        writer_pid(journal)
    with pytest.raises(StoreError, match=rf"in use by another soundwatch, process {os.getpid()}\."):
        JournalLock(journal)
    lock.release()
    assert writer_pid(journal) is None


def test_a_number_that_was_left_behind_is_nobodys(tmp_path: Path) -> None:
    journal = tmp_path / "journal.db"
    with subprocess.Popen([sys.executable, "-c", ""]) as gone:
        gone.wait()
    lock_of(journal, gone.pid)
    assert writer_pid(journal) is None
    lock_of(journal, os.getpid())  # another program has that number now, and does not hold the lock
    assert writer_pid(journal) is None
    lock_of(journal, 0).write_text("")
    assert writer_pid(journal) is None


@pytest.mark.parametrize(("path", "kind"), [("/", "a folder"), (os.devnull, "no regular file")])
def test_a_folder_or_a_device_is_no_journal_and_nothing_is_made_beside_it(path: str, kind: str) -> None:
    config = JournalConfig(path=path)
    with pytest.raises(StoreError, match=f"{path} is {kind}, so it cannot be the journal"):
        open_for_reading(config)
    with pytest.raises(StoreError, match=f"{path} is {kind}, so it cannot be the journal"):
        open_for_writing(config, MemoryLogger())
    assert not Path(f"{os.devnull}.lock").exists()


def loop_in(folder: Path) -> str:
    (folder / "a").symlink_to(folder / "b")
    (folder / "b").symlink_to(folder / "a")
    return str(folder / "a")


@pytest.mark.parametrize(
    ("path_in", "reason"),
    [
        (lambda folder: str(folder / ("x" * 300)), "File name too long"),
        (lambda folder: str(folder / "/".join(["x" * 200] * 30)), "File name too long"),
        (loop_in, "Too many levels of symbolic links"),
        (lambda folder: f"{loop_in(folder)}/journal.db", "Too many levels of symbolic links"),
        (lambda folder: f"{folder}/\x00.db", "null"),
        (lambda _: "~no-such-user/journal.db", "home directory"),
    ],
)
def test_a_path_where_no_file_can_be_is_refused_with_a_sentence(
    tmp_path: Path, path_in: Callable[[Path], str], reason: str
) -> None:
    config = JournalConfig(path=path_in(tmp_path))
    for opened in (open_for_reading, open_for_labels, lambda config: open_for_writing(config, MemoryLogger())):
        with pytest.raises(
            StoreError, match=rf"cannot be the journal: .*{reason}.*\. Give another journal\.path\."
        ) as found:
            opened(config)
        assert found.value.final


def test_a_name_without_room_for_the_lock_beside_it_is_refused_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cannot be opened as a journal: File name too long\."):
        open_for_writing(JournalConfig(path=str(tmp_path / ("x" * 253))), MemoryLogger())


def test_an_empty_file_and_a_database_of_another_program_are_named(tmp_path: Path) -> None:
    empty, other = tmp_path / "empty.db", tmp_path / "other.db"
    empty.write_bytes(b"")
    db = sqlite3.connect(other)
    db.execute("CREATE TABLE notes (text TEXT)")
    db.close()
    with pytest.raises(StoreError, match=r"empty.db has no lines and no tables yet; `soundwatch run` makes"):
        open_for_reading(JournalConfig(path=str(empty)))
    with pytest.raises(StoreError, match=r"other.db is a database of another program"):
        open_for_reading(JournalConfig(path=str(other)))
    with pytest.raises(StoreError, match=r"other.db is a database of another program"):
        open_for_writing(JournalConfig(path=str(other)), MemoryLogger())
    open_for_writing(JournalConfig(path=str(empty)), MemoryLogger()).close()
    open_for_reading(JournalConfig(path=str(empty))).close()


@pytest.mark.parametrize(
    "content",
    [b"node: balcony\n", b'{"schema":"soundwatch.event/1"}\n' * 1000, b"RIFF\0\0\0\0WAVE", b"CREATE TABLE lines"],
)
def test_a_file_of_another_kind_is_no_journal_and_stays(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "config.yaml"
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"config.yaml holds other data than a journal"):
        open_for_writing(JournalConfig(path=str(path)), MemoryLogger())
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("damaged_bytes", [1, 16, 100, 4096])
def test_a_journal_with_a_damaged_header_is_salvaged_without_a_lock_beside_it(
    tmp_path: Path, damaged_bytes: int
) -> None:
    path = tmp_path / "journal.db"
    config = JournalConfig(path=str(path))
    store = open_for_writing(config, MemoryLogger())
    store.commit([stored_line(seq) for seq in range(1, 21)])
    store.close()
    pid_path(path).unlink(missing_ok=True)
    path.write_bytes(bytes(damaged_bytes) + path.read_bytes()[damaged_bytes:])
    store = open_for_writing(config, MemoryLogger())
    assert store.salvaged is not None
    assert (store.salvaged.lines, store.salvaged.unreadable_lines) == (20, 0)
    assert len(store.read_after(0, 100)) == 20
    store.close()


def test_an_empty_journal_with_a_damaged_header_is_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    open_for_writing(JournalConfig(path=str(path)), MemoryLogger()).close()
    pid_path(path).unlink(missing_ok=True)
    path.write_bytes(bytes(16) + path.read_bytes()[16:])
    store = open_for_writing(JournalConfig(path=str(path)), MemoryLogger())
    store.close()
    assert store.quarantined_path is not None


def test_a_journal_with_a_damaged_header_is_renamed_and_begun_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    config = JournalConfig(path=str(path))
    open_for_writing(config, MemoryLogger()).close()
    path.write_bytes(b"damaged" * 1000)
    store = open_for_writing(config, MemoryLogger())
    store.close()
    assert store.quarantined_path is not None
    assert store.quarantined_path.read_bytes() == b"damaged" * 1000


@pytest.mark.skipif(os.name != "posix", reason="home folders are those of POSIX")
def test_a_user_without_a_home_folder_is_asked_for_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HOME", "STATE_DIRECTORY", "XDG_STATE_HOME"):
        monkeypatch.delenv(name, raising=False)

    def unknown(uid: int) -> None:
        raise KeyError(f"uid not found: {uid}")

    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(StoreError, match="There is no home folder for the journal: HOME is not set"):
        journal_path(JournalConfig())


def test_a_journal_on_a_full_disk_is_refused_with_the_reason(tmp_path: Path) -> None:
    JournalStore(tmp_path / "journal.db").close()
    with contextlib.ExitStack() as disks:
        try:
            disk = disks.enter_context(small_disk(tmp_path, "size=2m"))
        except PermissionError as error:
            pytest.skip(str(error))
        shutil.copy(tmp_path / "journal.db", disk)
        with contextlib.suppress(OSError), (disk / "filler").open("wb", buffering=0) as filler:
            while True:
                filler.write(bytes(4096))
        with pytest.raises(StoreError, match=r"Its disk is full, and reading needs 65536 bytes there: free some"):
            open_for_reading(JournalConfig(path=str(disk / "journal.db")))
