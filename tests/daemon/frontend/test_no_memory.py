"""Products of numpy without memory for its buffers."""

from __future__ import annotations

import subprocess
import sys

import pytest

# All memory but one block of 232 KB is taken. The block fits the result, and not the buffers of numpy in addition.
WITHOUT_BUFFERS = """
import resource
from pathlib import Path
import numpy as np
from soundwatch.daemon.capture.recordings.recording import _full_scale
from soundwatch.daemon.core.process.memory import limit_heap
from soundwatch.daemon.frontend.mel import frame_power

limit_heap()
call, sound = {call}
call(sound)
limit = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
hole = bytearray(232_000)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
taken, size = [], 1 << 20
while size > 600:
    try:
        taken.append(bytearray(size))
    except MemoryError:
        size = size * 3 // 4
del hole
try:
    call(sound)
except MemoryError:
    pass
taken.clear()
print("continued")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs a limit of the address space")
@pytest.mark.parametrize(
    "call",
    [
        "frame_power, np.ones((1, 52, 512), np.float32)",
        "_full_scale, np.ones((26_000, 2), np.int16)",
    ],
)
def test_the_program_survives_where_numpy_gets_no_memory_for_its_buffers(call: str) -> None:
    done = subprocess.run([sys.executable, "-c", WITHOUT_BUFFERS.format(call=call)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "continued\n"), done.stderr
