"""Pipes and sockets: waits for data, the one reader and the size of a pipe, and the sound that may wait in it.

Does not: read or write.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import IO, Final

if os.name == "posix":
    import fcntl

PIPE_BYTES: Final = 1 << 18  # more than a frame: 300 ms of 48 kHz stereo have 115 kB
DEFAULT_PIPE_BYTES: Final = 1 << 16
GATHERING_PIPE_BYTES: Final = 1 << 20  # the most without a privilege: 2.7 s of 48 kHz stereo as float32
LONGEST_GATHER_S: Final = 1.2  # longer than the hop of a window


def wait_readable(fd: int, wait_ms: int, message_fd: int | None = None) -> bool:
    """Wait up to `wait_ms` for data or a message, and return True if a read would not block."""
    if not hasattr(select, "poll"):  # Windows: a frozen writer goes unnoticed
        return True
    poll = select.poll()
    for readable in (fd, message_fd):
        if readable is not None:
            poll.register(readable, select.POLLIN)
    return bool(poll.poll(wait_ms))


def wait_closed(fd: int, wait_ms: int, message_fd: int | None) -> None:
    """Wait for `wait_ms`, but not longer than until a pipe's writer has closed it, or a message can be read."""
    if not hasattr(select, "poll"):  # Windows: sound is read at once
        return
    poll = select.poll()
    poll.register(fd, 0)  # no event but the end of the writer
    if message_fd is not None:
        poll.register(message_fd, select.POLLIN)
    poll.poll(wait_ms)


def is_only_reader(fd: int) -> bool:
    """Return True if no other reader has asked this of the same named pipe, until the descriptor is closed."""
    if os.name != "posix":
        return True
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # of a file system without locks
        pass
    return True


def enlarge_pipe(pipe: IO[bytes], size_bytes: int = PIPE_BYTES) -> int:
    """Give a pipe room for more than a frame, so that its writer seldom waits, and return its size in bytes.

    Without permission the pipe stays as it is.
    """
    if sys.platform != "linux":
        return DEFAULT_PIPE_BYTES
    with contextlib.suppress(OSError):
        return fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, size_bytes)
    return DEFAULT_PIPE_BYTES


def gatherable_s(pipe: IO[bytes], bytes_a_second: int) -> float:
    """Enlarge a pipe, and return the length of sound that may wait in it for a read: half of what it holds."""
    return min(LONGEST_GATHER_S, enlarge_pipe(pipe, GATHERING_PIPE_BYTES) / bytes_a_second / 2)
