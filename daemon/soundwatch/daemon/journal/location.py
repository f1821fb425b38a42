"""Find and open the journal of a configuration.

Conventions: without `journal.path` the file is `journal.db` in $STATE_DIRECTORY, which systemd sets, or else in the
folder of the system for the state of programs of a user. `memory` keeps nothing after the end of the program.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import BinaryIO, Final, Literal

import platformdirs

from soundwatch.daemon.config.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.process.logger import Logger
from soundwatch.daemon.core.time.clock import DAY_S
from soundwatch.daemon.journal.entry import RetentionLimits
from soundwatch.daemon.journal.file.lock import JournalLock, pid_path
from soundwatch.daemon.journal.file.migrations import FORMAT
from soundwatch.daemon.journal.file.sqlite import MEMORY, PAGE_BYTES
from soundwatch.daemon.journal.store import DISK_BYTES, JournalStore

_HEADER: Final = b"SQLite format 3\0"
_DEFINITION: Final = b"CREATE TABLE lines"
_LINE: Final = b'{"schema":"soundwatch.event/'
_SEARCHED_PAGES: Final = 4096  # of 4096 bytes each


def journal_path(config: JournalConfig) -> Path | Literal[":memory:"]:
    """Return the path of the configured journal.

    Raises:
        StoreError: No file can be at the configured path, this user cannot reach its folder, or has no home folder.
    """
    if config.path == "memory":
        return MEMORY
    if config.path is not None:
        return _reachable(config.path)
    state_directory = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    if state_directory:
        return Path(state_directory) / "journal.db"
    try:
        return platformdirs.user_state_path("soundwatch", appauthor=False) / "journal.db"
    except RuntimeError as error:
        raise StoreError(
            "There is no home folder for the journal: HOME is not set, and the system does not know this user. Set "
            "HOME, or give a file or memory with journal.path or --journal."
        ) from error


def socket_path(path: Path) -> Path:
    """Return the path of the socket on which a running daemon sends its lines."""
    return path.with_name(f"{path.name}.sock")


def retention_limits(config: JournalConfig) -> RetentionLimits:
    """Return the configured limits."""
    return RetentionLimits(config.max_age_days * DAY_S, config.max_bytes)


def open_for_writing(config: JournalConfig, log: Logger) -> JournalStore:
    """Open the journal for the one program that writes to it.

    Args:
        config: Path and limits of the journal.
        log: The log.

    Raises:
        StoreError: Another program writes to the file, or the configured file cannot be opened.
    """
    path = journal_path(config)
    if path == MEMORY:
        return JournalStore(MEMORY)
    assert isinstance(path, Path)
    try:
        _check_regular(path)
        _check_own(path)
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        store = _open_locked(path)
        if store.migrated_from is not None:
            log.info("journal_migrated", format=FORMAT, copy=str(store.migrated_from))
        return store
    except OSError as error:
        reason = f"{path} cannot be opened as a journal: {error.strerror}. Give another journal.path or --journal."
        return _fall_back(config, StoreError(reason), log)
    except StoreError as error:
        if error.final:
            raise
        return _fall_back(config, error, log)


def open_for_reading(config: JournalConfig) -> JournalStore:
    """Open the journal for a program that only reads, also while a daemon writes.

    Raises:
        StoreError: There is no file, or it is no journal.
    """
    path = journal_path(config)
    if not isinstance(path, Path):
        raise StoreError(
            "The journal is in the memory of the program that writes it (memory), where no other program reads it. "
            "Give a file with journal.path or --journal."
        )
    if not _reachable(str(path)).exists():
        raise StoreError(
            f"There is no journal at {path}. `soundwatch run` makes one; give its configuration with --config, or its "
            "file with --journal."
        )
    _check_regular(path)
    return JournalStore(path, writing=False)


def open_for_labels(config: JournalConfig) -> JournalStore:
    """Open the journal for a program that reads and adds labels, also while a daemon writes.

    Raises:
        StoreError: There is no file.
    """
    store = open_for_reading(config)  # opening for writing could replace a damaged file, which only the daemon may do
    store.transaction(lambda db: db.execute("PRAGMA query_only = OFF"))
    return store


def _reachable(text: str) -> Path:
    """Expand a path, and check that the system can look for a file there; the file may be absent."""
    try:
        path = Path(text).expanduser()
        path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return path
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(getattr(error, "strerror", None) or error).rstrip(".")
        raise StoreError(f"{text!r} cannot be the journal: {reason}. Give another journal.path.", final=True) from error
    return path


def _check_regular(path: Path) -> None:
    """Refuse a folder, a device or a pipe, before a lock is made beside it."""
    if path.exists() and not path.is_file():
        kind = "a folder" if path.is_dir() else "no regular file"
        raise StoreError(f"{path} is {kind}, so it cannot be the journal. Give another journal.path.", final=True)


def _check_own(path: Path) -> None:
    """Refuse a file of another kind, which would be renamed as a damaged journal."""
    if os.name == "posix" and path.is_file() and path.stat().st_size and not pid_path(path).exists():
        with path.open("rb") as file:
            if file.read(len(_HEADER)) != _HEADER and not _has_journal_pages(file):
                raise StoreError(
                    f"{path} holds other data than a journal. Give another journal.path or --journal, or move it away.",
                    final=True,
                )


def _has_journal_pages(file: BinaryIO) -> bool:
    """Return True if a file without the header of SQLite is a damaged journal, such as one without its `.lock`.

    A journal has the definition of its table of lines on its first page, or lines on a later one. Its pages have zeros;
    a text with such a definition or such lines has none.
    """
    file.seek(0)
    for number in range(_SEARCHED_PAGES):
        page = file.read(PAGE_BYTES)
        if (_LINE in page or (number == 0 and _DEFINITION in page)) and b"\0" in page:
            return True
    return False


def _open_locked(path: Path) -> JournalStore:
    lock = JournalLock(path)
    try:
        return JournalStore(path, lock=lock)
    except BaseException:
        lock.release()
        raise


def _fall_back(config: JournalConfig, error: StoreError, log: Logger) -> JournalStore:
    """Open a journal in memory where the disk is full or no file was configured; else raise the error."""
    path = journal_path(config)
    full = False
    with contextlib.suppress(OSError):  # there is no such folder
        full = isinstance(path, Path) and shutil.disk_usage(path.parent).free < DISK_BYTES
    if config.path is not None and not full:
        raise error
    log.warning("journal_in_memory", error=f"{error} The disk is full." if full else str(error))
    return JournalStore(MEMORY)
