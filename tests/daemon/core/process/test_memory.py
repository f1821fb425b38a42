from __future__ import annotations

import platform
import subprocess
import sys

import pytest

# A block of 2 MB that was freed raises glibc's threshold. Blocks of 600 KB are then mixed with small ones that stay.
MIXED = """
import re
from pathlib import Path
from soundwatch.daemon.core.process.memory import limit_heap

def resident_kb():
    return int(re.search(r"VmRSS:\\s*(\\d+)", Path("/proc/self/status").read_text())[1])

if {limited}:
    limit_heap()
del [bytearray(2 << 20)][:]
holes = [bytearray(1000) for _ in range(10_000)]  # none is left for the small blocks below
first_kb = resident_kb()
large, small = [], []
for _ in range(100):
    large.append(bytearray(600_000))
    small.append(bytearray(1000))
large.clear()
print(resident_kb() - first_kb)
"""


def growth_kb(limited: bool) -> int:
    """Return the resident memory that stays after large blocks between small ones are freed."""
    command = [sys.executable, "-c", MIXED.format(limited=limited)]
    return int(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limit is one of glibc")
def test_freed_buffers_between_small_blocks_return_to_the_system() -> None:
    assert growth_kb(limited=False) > 10_000
    assert growth_kb(limited=True) < 2000


WINDOWS = """
import resource
from soundwatch.daemon.core.process.memory import limit_heap

def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):  # a second of 48 kHz stereo, and windows of 4 s
        buffers = [bytearray(384_000), bytearray(256_000), bytearray(192_000)]
        del buffers
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

limit_heap()
new_pages()
print(new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limit is one of glibc")
def test_the_buffers_of_each_window_take_pages_that_are_there() -> None:
    done = subprocess.run([sys.executable, "-c", WINDOWS], check=True, capture_output=True, text=True)
    assert int(done.stdout) < 1_000  # each of the buffers has 47 pages or more


PAGES = """
import resource
from soundwatch.daemon.core.process.memory import kept_heap

def new_pages():
    size = 1 << 20
    bytearray(size)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(100):  # blocks smaller than a huge page
        bytearray(size)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept_heap():
    print(new_pages())
print(new_pages())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the limit is one of glibc")
def test_large_blocks_of_a_kept_heap_take_pages_that_are_there_and_later_ones_new_pages() -> None:
    done = subprocess.run([sys.executable, "-c", PAGES], check=True, capture_output=True, text=True)
    kept, after = map(int, done.stdout.split())
    assert kept < 1_000
    assert after > 5_000
