"""Files of killed processes: which are found, and which are removed."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from soundwatch.daemon.core.program_log import use_program_log
from soundwatch.daemon.core.unfinished import (
    BACKUP_PREFIX,
    RESTORE_PREFIX,
    locked_folder,
    remove_unfinished,
    unfinished_files,
)
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
def test_a_backup_of_another_container_is_left_alone_until_its_end(tmp_path: Path) -> None:
    folder = tmp_path / f"{BACKUP_PREFIX}{NO_PROCESS}-x"  # the id is of no process here
    folder.mkdir()
    with locked_folder(folder):
        assert unfinished_files(tmp_path) == []
        remove_unfinished([tmp_path], BACKUP_PREFIX)
        assert folder.exists()
    assert unfinished_files(tmp_path) == [folder]
    remove_unfinished([tmp_path], BACKUP_PREFIX)
    assert not folder.exists()
