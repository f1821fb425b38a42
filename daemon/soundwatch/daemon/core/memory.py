"""Return of freed memory to the system."""

from __future__ import annotations

import contextlib
import ctypes


def release_memory() -> None:
    """Return the memory that is free to the system, where the C library can; for after a large computation."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
