"""Limits of the C library's heap, for a small resident memory or for speed.

Conventions: they are glibc's; other C libraries keep their own rules.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
from typing import Final

MAPPED_BYTES: Final = 512 << 10  # more than a second of 48 kHz stereo, which is allocated every second
KEPT_BYTES: Final = 2 << 20
_M_TRIM_THRESHOLD: Final = -1  # of malloc.h
_M_ARENA_MAX: Final = -8
_M_MMAP_THRESHOLD: Final = -3
_M_MMAP_MAX: Final = -4
_LARGEST_INT: Final = (1 << 31) - 1


def limit_heap() -> None:
    """Give blocks of `MAPPED_BYTES` or more pages of their own, and keep `KEPT_BYTES` of free heap, for good.

    glibc's own limit rises with each larger block that is freed, up to 32 MB. Then long buffers come from the heap,
    where small blocks keep the pages between them resident. Below the limit, each buffer of a window would cost new
    pages every second, which takes a fifth of the processor time of a live microphone.
    """
    with contextlib.suppress(OSError, TypeError, AttributeError):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, MAPPED_BYTES)
        library.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        library.mallopt(_M_ARENA_MAX, 1)


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
    """Free unreachable objects, and return free memory to the system where the C library can.

    It is for after a large computation and after the start.
    """
    gc.collect()
    with contextlib.suppress(OSError, TypeError, AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
