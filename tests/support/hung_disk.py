"""A file system that hangs, as a network share whose server is away: FUSE without a server behind it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

MNT_DETACH = 2


@contextlib.contextmanager
def hung_disk(folder: Path) -> Iterator[Callable[[], None]]:
    """Let every access to a folder hang; give a function that ends this and shows the folder again.

    Raises:
        PermissionError: Mounting takes root and /dev/fuse.
    """
    if sys.platform != "linux" or not os.access("/dev/fuse", os.R_OK | os.W_OK):
        raise PermissionError("a file system that hangs cannot be mounted here: it takes root and /dev/fuse")
    system = ctypes.CDLL(None, use_errno=True)
    server = os.open("/dev/fuse", os.O_RDWR)  # requests wait here for an answer that never comes
    options = f"fd={server},rootmode=40000,user_id={os.getuid()},group_id={os.getgid()}"
    if system.mount(b"hung", os.fsencode(folder), b"fuse", 0, options.encode()):
        os.close(server)
        raise PermissionError(f"a file system cannot be mounted here: {os.strerror(ctypes.get_errno())}")

    open_servers = [server]

    def release() -> None:
        if open_servers:
            os.close(open_servers.pop())  # accesses that wait end with an error
            system.umount2(os.fsencode(folder), MNT_DETACH)

    try:
        yield release
    finally:
        release()
