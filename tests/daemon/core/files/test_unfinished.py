"""Files of killed processes: which are found, and which are removed."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

import pytest

from soundwatch.daemon.core.files.atomic_file import replace_file
from soundwatch.daemon.core.files.folder_lock import locked_folder
from soundwatch.daemon.core.files.unfinished import BACKUP_PREFIX, RESTORE_PREFIX, remove_unfinished, unfinished_files
from soundwatch.daemon.core.process.program_log import use_program_log
from support.memory_logger import MemoryLogger

NO_PROCESS = 2**40


def test_what_cannot_be_removed_is_logged_and_the_rest_is_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused, other = (tmp_path / f"{BACKUP_PREFIX}{NO_PROCESS}-{word}" for word in ("a", "b"))
    refused.mkdir()
    other.mkdir()
    remove = shutil.rmtree

    def rmtree(path: Path) -> None:
        if path == refused:
            raise PermissionError(13, "Permission denied", str(path))
        remove(path)

    monkeypatch.setattr(shutil, "rmtree", rmtree)
    log = MemoryLogger()
    with use_program_log(log):
        remove_unfinished([tmp_path], BACKUP_PREFIX)
    assert (refused.exists(), other.exists()) == (True, False)
    assert log.fields("unfinished_file_left") == [{"file": str(refused), "error": "Permission denied"}]


def test_a_part_of_a_restore_that_is_a_folder_by_mistake_is_removed_too(tmp_path: Path) -> None:
    (tmp_path / f"{RESTORE_PREFIX}{NO_PROCESS}-0").mkdir()
    remove_unfinished([tmp_path], RESTORE_PREFIX)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
@pytest.mark.parametrize(
    "name", [f"{BACKUP_PREFIX}{NO_PROCESS}-x", f"{RESTORE_PREFIX}{NO_PROCESS}-0", f".config.yaml.{NO_PROCESS}.part"]
)
def test_a_file_of_another_container_is_left_alone_until_its_end(tmp_path: Path, name: str) -> None:
    part = tmp_path / name  # the id is of no process here
    part.touch()
    with locked_folder(tmp_path):
        with locked_folder(tmp_path):
            assert unfinished_files(tmp_path) == []
        assert unfinished_files(tmp_path) == [], "another process still holds the lock"
        remove_unfinished([tmp_path], name)
        assert part.exists()
    assert unfinished_files(tmp_path) == [part]
    remove_unfinished([tmp_path], name)
    assert not part.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such locks")
def test_a_file_of_a_killed_process_is_found_whose_id_another_process_has(tmp_path: Path) -> None:
    part = tmp_path / f"{RESTORE_PREFIX}{os.getpid()}-0"
    part.touch()
    assert unfinished_files(tmp_path) == [part]


def test_the_id_decides_where_a_file_system_has_no_locks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    killed, running = (tmp_path / f"{RESTORE_PREFIX}{process}-0" for process in (NO_PROCESS, os.getpid()))
    for part in (killed, running):
        part.touch()

    def flock(_file: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("soundwatch.daemon.core.files.folder_lock.fcntl.flock", flock)
    with locked_folder(tmp_path):
        assert unfinished_files(tmp_path) == [killed]


def test_a_file_that_is_being_replaced_is_not_unfinished(tmp_path: Path) -> None:
    def write(part: Path) -> None:
        part.write_text("half")
        assert part.name.startswith(".config.yaml.")
        assert unfinished_files(tmp_path) == []

    replace_file(tmp_path / "config.yaml", write)
    assert [path.name for path in tmp_path.iterdir()] == ["config.yaml"]
