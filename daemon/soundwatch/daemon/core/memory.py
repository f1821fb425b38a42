"""Limits of the C library's heap, for a small resident memory. Other C libraries than glibc keep their own rules."""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

MAPPED_BYTES: Final = 128 << 10
_M_MMAP_THRESHOLD: Final = -3  # of malloc.h


def limit_heap() -> None:
    """Give blocks of `MAPPED_BYTES` or more pages of their own for the life of the program.

    This is glibc's default, which rises with each larger block that is freed, up to 32 MB. Then buffers of a second of
    sound come from the heap, where small blocks keep the pages between them resident.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def release_memory() -> None:
    """Return the memory that is free to the system, where the C library can; for after a large computation."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
