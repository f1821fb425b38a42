"""Limits of the C library's heap, for a small resident memory or for speed.

Conventions: they are glibc's; other C libraries keep their own rules.
"""

from __future__ import annotations

import contextlib
import ctypes
from collections.abc import Iterator
from typing import Final

MAPPED_BYTES: Final = 128 << 10
_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_MMAP_MAX: Final = -4
_MAPPED_BLOCKS: Final = 65_536  # glibc's default
_KEPT_BYTES: Final = 128 << 10  # glibc's default
_LARGEST_INT: Final = (1 << 31) - 1


def limit_heap() -> None:
    """Give blocks of `MAPPED_BYTES` or more pages of their own for the life of the program.

    This is glibc's default, which rises with each larger block that is freed, up to 32 MB. Then buffers of a second of
    sound come from the heap, where small blocks keep the pages between them resident.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)


@contextlib.contextmanager
def kept_heap() -> Iterator[None]:
    """Take all blocks from the heap and return none of it to the system meanwhile; then go back to glibc's limits.

    The tensors of a step take megabytes each. By glibc's own limits each gets new pages, which the system fills with
    zeros first: that takes a third of the time of the mel stage in training. The resident memory stays at its highest.
    glibc's mapping threshold no longer rises afterwards.
    """
    _set_heap(mapped_blocks=0, kept_bytes=_LARGEST_INT)
    try:
        yield
    finally:
        _set_heap(mapped_blocks=_MAPPED_BLOCKS, kept_bytes=_KEPT_BYTES)
        release_memory()


def _set_heap(mapped_blocks: int, kept_bytes: int) -> None:
    """Set how many blocks have pages of their own, and how much free memory stays at the end of the heap."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, mapped_blocks)
        library.mallopt(_M_TRIM_THRESHOLD, kept_bytes)


def release_memory() -> None:
    """Return the memory that is free to the system, where the C library can; for after a large computation."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
