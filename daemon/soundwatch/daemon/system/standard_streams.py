"""Standard streams that exist and do not end the program.

Conventions: called once, before anything is opened: a parent may close descriptors 0 to 2, and the next file opened
would then take their place and receive what is printed.
Does not: handle a standard output that cannot be written (`cli/__init__.py`, `sinks/file.py`).
"""

from __future__ import annotations

import contextlib
import io
import os
import select
import sys
from collections.abc import Iterator


class StandardError(io.TextIOWrapper):
    """Standard error without a buffer; text that cannot be written is dropped."""

    def __init__(self) -> None:
        super().__init__(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", write_through=True)

    def write(self, text: str, /) -> int:
        """Write text where that is possible."""
        with contextlib.suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Do nothing: no text is held back."""


@contextlib.contextmanager
def standard_streams() -> Iterator[None]:
    """Open the descriptors 0 to 2 that are closed, on the null device, and keep standard error from raising.

    Characters that the encoding of standard output lacks are written as escapes.
    """
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free descriptor: this one
    if sys.stdin is None:
        sys.stdin = os.fdopen(0, closefd=False)
    if sys.stdout is None:
        sys.stdout = os.fdopen(1, "w", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):
        if isinstance(sys.stdout.buffer, io.RawIOBase):  # PYTHONUNBUFFERED
            sys.stdout = _whole_writes(sys.stdout.encoding)
        sys.stdout.reconfigure(errors="backslashreplace")
    try:
        with contextlib.redirect_stderr(StandardError()):
            yield
    finally:
        _abandon_blocked()


def _whole_writes(encoding: str) -> io.TextIOWrapper:
    """Open standard output anew: without a buffer, Python drops what the system does not take at once."""
    return io.TextIOWrapper(io.BufferedWriter(io.FileIO(1, "w", closefd=False)), encoding, line_buffering=True)


def _abandon_blocked() -> None:
    """Redirect an output that accepts no data to the null device: libraries print when the interpreter ends."""
    with contextlib.suppress(OSError, ValueError):  # Windows waits for sockets only
        _, writable, _ = select.select([], [1, 2], [], 0)
        for descriptor in {1, 2}.difference(writable):
            os.dup2(os.open(os.devnull, os.O_WRONLY), descriptor)
