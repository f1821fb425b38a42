"""Keeps what native audio libraries print out of the diary, and their reasons for the error message.

Conventions: ALSA, PortAudio and mpg123 write to file descriptor 2 behind Python's back. While they are
kept, that descriptor leads to a temporary file; at the end lines that are not theirs are passed on.
Does not: help against a library that prints later, from a thread of its own.
"""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import threading
from collections.abc import Iterator

_REASONS = ("ALSA lib ",)
_CHATTER = ("Expression '", "Note: ", "Warning: Xing")  # PortAudio's trace of the call stack; mpg123's doubts
_one_at_a_time = threading.Lock()  # there is one file descriptor 2


@contextlib.contextmanager
def capture_native_stderr() -> Iterator[list[str]]:
    """Give a list that holds, once left, what the libraries said of the reason for a failure."""
    reasons: list[str] = []
    with _one_at_a_time, tempfile.TemporaryFile() as caught:
        try:
            stderr = os.dup(2)
        except OSError:  # a service may run without
            yield reasons
            return
        os.dup2(caught.fileno(), 2)
        try:
            yield reasons
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            caught.seek(0)
            _sort(caught.read().decode(errors="replace").splitlines(), reasons)


def _sort(lines: list[str], reasons: list[str]) -> None:
    """Keep reasons, drop chatter, and pass on what another thread logged meanwhile."""
    for line in lines:
        if line.startswith(_REASONS):
            reasons.append(line)
        elif line and not line.startswith(_CHATTER) and sys.stderr is not None:
            sys.stderr.write(line + "\n")
