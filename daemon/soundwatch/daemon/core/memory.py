"""Limits of the C library's heap, for a small resident memory or for speed.

Conventions: they are glibc's; other C libraries keep their own rules.
"""

from __future__ import annotations

import contextlib
import ctypes
from typing import Final

MAPPED_BYTES: Final = 128 << 10
_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_MMAP_MAX: Final = -4
_LARGEST_INT: Final = (1 << 31) - 1


def limit_heap() -> None:
    """Give blocks of `MAPPED_BYTES` or more pages of their own for the life of the program.

    This is glibc's default, which rises with each larger block that is freed, up to 32 MB. Then buffers of a second of
    sound come from the heap, where small blocks keep the pages between them resident.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


def keep_heap() -> None:
    """Take all blocks from the heap and return none of it to the system, for good.

    The tensors of a step take megabytes each. By glibc's own limits each gets new pages, which the system fills with
    zeros first: that takes a third of the time of the mel stage in training. The resident
    memory stays at its highest.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, _LARGEST_INT)


def release_memory() -> None:
    """Return the memory that is free to the system, where the C library can; for after a large computation."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
