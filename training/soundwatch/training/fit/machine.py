"""What figures are measured on, so that a record or a table can name it.

Does not: import torch; benchmarks of the runtime alone name their machine with it too.
"""

from __future__ import annotations

import platform
from pathlib import Path


def processor() -> str:
    """The CPU's model where Linux tells it, else what Python knows."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
