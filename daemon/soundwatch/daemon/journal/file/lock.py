"""One writer for each journal file, under any path.

Conventions: the lock belongs to the device and inode of the file, so a symbolic link, a hard link or another spelling
of the path finds it, and a removed `.lock` file does not release it. `NAME.lock` holds the process number
and the namespace that the number is valid in, since another container has another process of that number.
Source: fcntl(2), open file description locks (Linux). The locked byte lies far beyond those that SQLite locks. On other
systems the `.lock` file is locked instead.
Does not: know SQLite.
"""

from __future__ import annotations

import os
import struct
from contextlib import suppress
from pathlib import Path
from typing import Final

from soundwatch.daemon.core.errors import StoreError

if os.name == "posix":
    import fcntl

_LOCKED_BYTE: Final = 1 << 62
_TEXT_BYTES: Final = 64


class JournalLock:
    """The exclusive right to write to one journal file.

    Args:
        path: The file; made with mode 0600 if it is absent.

    Raises:
        StoreError: Another process has the right.
        OSError: The file cannot be opened.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._pid_file = _open_pid_file(path)
        self._file: int | None = None
        try:
            _lock_pid_file(self._pid_file, path)
            self._file = _lock_file(path)
        except BaseException:
            self.release()
            raise
        if self._pid_file is not None:
            os.truncate(self._pid_file, 0)
            os.pwrite(self._pid_file, f"{os.getpid()} {_namespace()}".encode(), 0)

    @property
    def current(self) -> bool:
        """False where the path does not lead to the locked file any more."""
        if self._file is None:
            return True
        held = os.fstat(self._file)
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == (held.st_dev, held.st_ino)

    def check_free(self) -> None:
        """Check that no other process writes to the file that the path leads to now.

        Raises:
            StoreError: Another process does.
            OSError: The file cannot be opened.
        """
        found = _lock_file(self._path)
        if found is not None:
            os.close(found)

    def renew(self) -> None:
        """Lock the file that the path leads to now; the file is made if it is absent.

        Raises:
            StoreError: Another process writes to it.
            OSError: The file cannot be opened.
        """
        before, self._file = self._file, _lock_file(self._path)
        if before is not None:
            os.close(before)

    def release(self) -> None:
        """Let other processes write to the file."""
        for descriptor in (self._file, self._pid_file):
            if descriptor is not None:
                with suppress(OSError):
                    os.close(descriptor)
        self._file = self._pid_file = None


def writer_pid(path: Path) -> int | None:
    """Return the process that writes to a journal; None where there is none, or where the number is unknown.

    Raises:
        StoreError: The process belongs to another container, so it cannot be reached by its number.
    """
    written = pid_path(path)
    if os.name != "posix" or not written.exists():
        return None
    with written.open("rb") as file:
        number, _, namespace = file.read(_TEXT_BYTES).decode(errors="replace").strip().partition(" ")
        try:  # the writer holds the lock; its number may be that of another process by now
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            if namespace not in ("", _namespace()):
                raise StoreError(
                    f"The journal {path} is written by a soundwatch in another container, process {number} there. Run "
                    "this command in that container."
                ) from None
            return int(number) if number.isdecimal() else None
    return None


def _namespace() -> str:
    """Return the namespace of process numbers; an empty text on a system without namespaces."""
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _lock_file(path: Path) -> int | None:
    """Lock one byte of the journal itself; None where the system has no such locks."""
    if os.name != "posix" or not hasattr(fcntl, "F_OFD_SETLK"):
        return None
    file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    request = struct.pack("@hhqqi", fcntl.F_WRLCK, os.SEEK_SET, _LOCKED_BYTE, 1, 0)
    try:
        fcntl.fcntl(file, fcntl.F_OFD_SETLK, request)
    except BlockingIOError:
        os.close(file)
        raise _in_use(path, "unknown") from None
    except OSError:  # a file system without locks: the `.lock` file remains
        os.close(file)
        return None
    return file


def _open_pid_file(path: Path) -> int | None:
    if os.name != "posix":
        return None
    return os.open(pid_path(path), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _lock_pid_file(pid_file: int | None, path: Path) -> None:
    if pid_file is None:
        return
    try:
        fcntl.flock(pid_file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        number = os.pread(pid_file, _TEXT_BYTES, 0).decode(errors="replace").partition(" ")[0].strip()
        raise _in_use(path, number or "unknown") from None


def pid_path(path: Path) -> Path:
    """Return the path of the file with the process number of a journal's writer."""
    real = path.resolve()
    return real.with_name(real.name + ".lock")


def _in_use(path: Path, process: str) -> StoreError:
    return StoreError(
        f"The journal {path} is in use by another soundwatch, process {process}. Stop that one, or give this one a "
        "journal of its own with --journal FILE, or none with --journal memory.",
        final=True,
    )
