"""Capture of the messages that native audio libraries print, for error messages and to keep the log clean.

Conventions: ALSA, PortAudio and mpg123 write to file descriptor 2 directly. During the capture that descriptor is a
file in memory, or a temporary one where the system has none; at the end, lines of others are passed on.
Does not: capture messages that a library prints later, from its own thread.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator
from typing import BinaryIO, Final

_REASONS: Final = ("ALSA lib ", "[src/libmpg123/")
_NOISE: Final = (  # PortAudio's call stack; mpg123's notes; JACK's, which runs on few machines
    "Expression '",
    "Note: ",
    "Warning: Xing",
    "Cannot connect to server ",
    "jack server is not running",
    "JackShmReadWritePtr",
)
_stderr_lock = threading.Lock()  # there is one file descriptor 2


@contextlib.contextmanager
def capture_native_stderr() -> Iterator[list[str]]:
    """Yield a list that holds the libraries' error messages after the block."""
    reasons: list[str] = []
    with _stderr_lock, _file_in_memory() as caught:
        try:
            stderr = os.dup(2)
        except OSError:  # a service may run without standard error
            yield reasons
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield reasons
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            _sort(caught.read().decode(errors="replace").splitlines(keepends=True), reasons)


def _file_in_memory() -> BinaryIO:
    """Open a nameless file; making a temporary one would take a tenth of the time in which an MP3 is decoded."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("stderr"), "r+b")
    return tempfile.TemporaryFile()


def _sort(lines: list[str], reasons: list[str]) -> None:
    """Keep reasons, drop noise, and pass on what another thread wrote meanwhile, such as a bar without a line end."""
    for line in lines:
        if line.startswith(_REASONS):
            reasons.append(line.rstrip())
        elif line != "\n" and not line.startswith(_NOISE) and sys.stderr is not None:
            sys.stderr.write(line)
            sys.stderr.flush()
