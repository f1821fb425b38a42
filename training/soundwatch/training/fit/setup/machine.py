"""Name of the machine, for records and tables of measurements.

Does not: import torch; benchmarks of the runtime alone use it too.
"""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """Return the CPU model from Linux, or Python's name for it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
