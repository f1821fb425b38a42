"""The process that writes to a journal."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from soundwatch.daemon.journal.lock import writer_pid


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
