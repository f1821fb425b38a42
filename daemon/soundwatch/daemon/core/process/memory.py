"""Limits of the C library's heap, for a small resident memory or for speed.

Conventions: they are glibc's; other C libraries keep their own rules.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from collections.abc import Iterator
from typing import Final

MAPPED_BYTES: Final = 512 << 10  # more than a second of 48 kHz stereo, which is allocated every second
KEPT_BYTES: Final = 2 << 20
_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_MMAP_THRESHOLD: Final = -3
_M_MMAP_MAX: Final = -4
_M_ARENA_MAX: Final = -8
_MAPPED_BLOCKS: Final = 65_536  # glibc's default
_TRIMMED_BYTES: Final = 128 << 10  # glibc's default
_LARGEST_INT: Final = (1 << 31) - 1


def limit_heap() -> None:
    """Give blocks of `MAPPED_BYTES` or more pages of their own, and keep `KEPT_BYTES` of free heap, for good.

    glibc's own limit rises with each larger block that is freed, up to 32 MB. Then long buffers come from the heap,
    where small blocks keep the pages between them resident. Below the limit, each buffer of a window would cost new
    pages every second, which takes a fifth of the processor time of a live microphone. All threads share one heap.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_M_ARENA_MAX, 1)


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
        _set_heap(mapped_blocks=_MAPPED_BLOCKS, kept_bytes=_TRIMMED_BYTES)
        release_memory()


def _set_heap(mapped_blocks: int, kept_bytes: int) -> None:
    """Set how many blocks have pages of their own, and how much free memory stays at the end of the heap."""
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_MAX, mapped_blocks)
        library.mallopt(_M_TRIM_THRESHOLD, kept_bytes)


def release_memory() -> None:
    """Free unreachable objects, and return free memory to the system where the C library can.

    It is for after a large computation and after the start.
    """
    gc.collect()
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
