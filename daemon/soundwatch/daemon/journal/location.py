"""Where the journal's file lies, and that one program at a time writes to it.

Conventions: without `journal.path` it is `journal.db` in $STATE_DIRECTORY, which systemd sets, or else in the folder
that the system has for the state of a user's programs. `memory` keeps nothing once the program ends.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Final, Literal

import platformdirs

from soundwatch.daemon.core.config import JournalConfig
from soundwatch.daemon.core.errors import StoreError
from soundwatch.daemon.core.logger import Logger
from soundwatch.daemon.journal.store import DISK_BYTES, MEMORY, JournalStore, RetentionLimits

if os.name == "posix":
    import fcntl

DAY_S: Final = 86_400.0


def journal_path(config: JournalConfig) -> Path | Literal[":memory:"]:
    """The journal's file, as configured."""
    if config.path == "memory":
        return MEMORY
    if config.path is not None:
        return Path(config.path).expanduser()
    state_directory = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    folder = Path(state_directory) if state_directory else platformdirs.user_state_path("soundwatch", appauthor=False)
    return folder / "journal.db"


def socket_path(path: Path) -> Path:
    """Where a running program lets this user's programs read along."""
    return path.with_name(f"{path.name}.sock")


def retention_limits(config: JournalConfig) -> RetentionLimits:
    """How much it keeps."""
    return RetentionLimits(config.max_age_days * DAY_S, config.max_bytes)


def open_for_writing(config: JournalConfig, log: Logger) -> JournalStore:
    """The journal's file, for the one program that writes to it.

    Args:
        config: Where it lies.
        log: The log.

    Raises:
        StoreError: Another program writes to it, or a file that was asked for cannot be opened.
    """
    path = journal_path(config)
    if path == MEMORY:
        return JournalStore(MEMORY)
    assert isinstance(path, Path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _claim(path)
        store = JournalStore(path)
    except OSError as error:
        return _without(config, StoreError(f"{path} cannot be opened as a journal: {error.strerror}."), log)
    except StoreError as error:
        if error.in_use:
            raise
        return _without(config, error, log)
    if store.quarantined_path is not None:
        log.warning(
            "the journal was damaged; it was put aside, and a new one was begun", file=str(store.quarantined_path)
        )
    return store


def open_for_reading(config: JournalConfig) -> JournalStore:
    """The same for a program that only looks things up; a daemon may be writing to it.

    Raises:
        StoreError: There is none.
    """
    path = journal_path(config)
    if not isinstance(path, Path) or not path.exists():
        raise StoreError(
            f"There is no journal at {path}. `soundwatch run` makes one; give its configuration with --config, or its "
            "file with --journal."
        )
    return JournalStore(path, writing=False)


def open_for_labels(config: JournalConfig) -> JournalStore:
    """The same for a program that also keeps what a person says of an event, which a daemon need not stop for.

    Raises:
        StoreError: There is none.
    """
    store = open_for_reading(config)  # and not for writing: that may put a damaged file aside, which is the daemon's
    store.transaction(lambda db: db.execute("PRAGMA query_only = OFF"))
    return store


def writer_pid(path: Path) -> int | None:
    """The process that writes to this journal just now; None where there is none, or where that cannot be told."""
    lock = path.with_name(path.name + ".lock")
    if os.name != "posix" or not lock.exists():
        return None
    with lock.open("rb") as claim:
        named = claim.read(32).decode(errors="replace").strip()
        if not named.isdecimal() or not _is_alive(int(named)):
            return None
        try:  # another process may have got its number since; whoever holds the lock is ours
            fcntl.flock(claim, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return int(named)
    return None


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _without(config: JournalConfig, error: StoreError, log: Logger) -> JournalStore:
    """A journal in memory, where the disk is full or nobody named a file; else what was asked for has to be."""
    path = journal_path(config)
    full = isinstance(path, Path) and path.parent.is_dir() and shutil.disk_usage(path.parent).free < DISK_BYTES
    if config.path is not None and not full:
        raise error
    log.warning("there is no journal: events are kept in memory, and are gone when this program ends", error=str(error))
    return JournalStore(MEMORY)


def _claim(path: Path) -> None:
    """Hold the journal until this program ends.

    Raises:
        StoreError: Another one has it.
    """
    if os.name != "posix":
        return
    lock = path.with_name(path.name + ".lock")
    claim = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        owner = os.read(claim, 32).decode(errors="replace").strip()
        os.close(claim)
        raise StoreError(
            f"The journal {path} is in use by another soundwatch, process {owner or 'unknown'}. Stop that one, or "
            "give this one a journal of its own with --journal FILE, or none with --journal memory.",
            in_use=True,
        ) from None
    os.truncate(claim, 0)
    os.write(claim, str(os.getpid()).encode())  # the descriptor is never closed: the claim ends with the program
